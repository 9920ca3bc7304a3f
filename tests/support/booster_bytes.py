"""Boosters', fastText's and spaCy's files by hand: their heads and their ends."""

from __future__ import annotations

JSON = b'{"learner":{"attributes":{},"feature_names":[],"gradient_booster":{}},"version":[%d,%d,1]}'
UBJ = b"{L\0\0\0\0\0\0\0\x07learner{}L\0\0\0\0\0\0\0\x07version[#L\0\0\0\0\0\0\0\x03i\x03i\x02i\x00}"
OLD = b"\0\0\0\x3f\x04\0\0\0" + b"\0" * 128 + b"\x0f\0\0\0\0\0\0\0binary:logistic\x06\0\0\0\0\0\0\0gbtree" + b"\0" * 40
LIGHT = b"tree\nversion=v%d\nnum_class=1\nobjective=binary\n\nTree=0\n\nend of trees\n\nparameters:\n[a: 1]\nend of parameters\n"
CAT = b"CBM1\x40\0\0\0" + b"\x01" * 64
FAST = b"\xba\x16\x4f\x2f" + b"\x0c\0\0\0" + b"\x05\0\0\0" * 7 + b"\x03\0\0\0" + b"\0" * 40
META = {"lang": "en", "name": "reviews", "spacy_version": ">=3.8.2,<3.9.0", "pipeline": ["textcat"]}
