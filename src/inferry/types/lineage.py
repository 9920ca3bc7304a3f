"""Lineage: where a version comes from. Written once, when the version is made, and never changed."""

from __future__ import annotations

import msgspec


class Lineage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`commit`, `branch`, `remote`: of the git work tree that the artifact lay in; `dirty`: tracked files there
    differed from the commit. `run`: the id of the training run; `data`: the sha256 of the training data;
    `metrics`: what training measured. `labels`: words of one's own; `message`: a line for people."""

    commit: str = ""
    branch: str = ""
    remote: str = ""
    dirty: bool = False
    run: str = ""
    data: str = ""
    message: str = ""
    labels: dict[str, str] = {}
    metrics: dict[str, float] = {}
