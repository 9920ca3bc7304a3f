"""Signatures: those of Standard Webhooks, with one secret or two."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.policy.signing import fits, secret_bytes, secret_text, sign

KEYS = st.binary(min_size=24, max_size=64)


def test_it_is_the_signature_of_the_reference_libraries():
    """The example of https://github.com/standard-webhooks/standard-webhooks and of Svix's documentation."""
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    made = sign([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(keys=st.lists(KEYS, min_size=1, max_size=2, unique=True), body=st.binary(max_size=200), other=KEYS)
def test_each_secret_verifies_and_no_other_does(keys, body, other):
    header = sign(keys, "evt_1", 1700000000, body)
    for key in keys:
        assert fits(header, [key], "evt_1", "1700000000", body)
        assert not fits(header, [key], "evt_2", "1700000000", body)
        assert not fits(header, [key], "evt_1", "1700000001", body)
        assert not fits(header, [key], "evt_1", "1700000000", body + b" ")
    assert fits(header, [other], "evt_1", "1700000000", body) is (other in keys)


@given(st.text(max_size=80))
def test_nonsense_fits_nothing(header):
    assert not fits(header, [b"k" * 32], "evt_1", "1", b"{}")


@given(KEYS)
def test_a_secret_is_its_text(key):
    assert secret_bytes(secret_text(key)) == key


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!",
                                  "whsec_" + base64.b64encode(bytes(65)).decode()])  # fmt: skip
def test_other_texts_are_refused_without_being_shown(text):
    with pytest.raises(InvalidInput) as caught:
        secret_bytes(text)
    assert len(text) < 7 or text[6:] not in str(caught.value)
