"""Sealed secrets: back with the same pepper, and with nothing else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InternalError
from inferry.security.seal import seal, unseal

PEPPER = b"p" * 32


@given(st.binary(max_size=200))
def test_a_secret_comes_back(secret):
    text = seal(secret, PEPPER)
    assert unseal(text, PEPPER) == secret
    assert seal(secret, PEPPER) != text


def test_another_pepper_or_a_changed_text_reads_nothing():
    text = seal(b"a secret of some length", PEPPER)
    data = base64.urlsafe_b64decode(text)
    for place in range(len(data)):
        changed = bytes([*data[:place], data[place] ^ 1, *data[place + 1 :]])
        with pytest.raises(InternalError):
            unseal(base64.urlsafe_b64encode(changed).decode(), PEPPER)
    for wrong in ("", "x", text[:10], "\u00e4"):
        with pytest.raises(InternalError):
            unseal(wrong, PEPPER)
    with pytest.raises(InternalError):
        unseal(text, b"q" * 32)
    with pytest.raises(ValueError, match="2049 bytes"):
        seal(bytes(2049), PEPPER)
