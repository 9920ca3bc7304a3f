"""Keys: minting, checking, roles and endpoint lists."""

import pytest

from inferry.errors import InvalidInput, InvalidName, Unauthorized, Unavailable
from inferry.security.keys import ACTIONS, TEXT_SIZE, KeyRing, digest_of, may, mint

PEPPER = b"p" * 32
NOW = 1_000_000.0


def make(role="invoker", endpoints=("*",), expires=0.0):
    key, text = mint("ci", role, endpoints, expires, NOW, PEPPER)
    return key, text, KeyRing({key.id: key}, PEPPER)


def test_the_text_has_a_fixed_form_and_the_stored_key_holds_no_secret():
    key, text, _ = make()
    assert len(text) == TEXT_SIZE == 56
    assert text.startswith(f"inf_{key.id}_")
    assert text[13:] not in repr(key)
    assert key.digest == digest_of(text, PEPPER)
    assert len(key.digest) == 64


def test_two_keys_share_nothing():
    texts = {mint("ci", "admin", ("*",), 0, NOW, PEPPER)[1] for _ in range(200)}
    assert len({text[4:12] for text in texts}) == len({text[13:] for text in texts}) == 200


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}", "Bearer {} "])
def test_a_known_key_is_found_in_text_or_bytes(form):
    key, text, ring = make()
    header = form.format(text)
    assert ring.check(header, NOW) is key
    assert ring.check(header.encode(), NOW) is key


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        b"",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer inf_",
        "Bearer " + "x" * 56,
        "Bearer é" * 9,
        b"\xff" * 70,
    ],
)
def test_anything_else_is_refused(header):
    with pytest.raises(Unauthorized):
        make()[2].check(header, NOW)


def test_every_changed_character_is_refused():
    _, text, ring = make()
    for at in range(len(text)):
        wrong = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(Unauthorized):
            ring.check(f"Bearer {wrong}", NOW)


def test_another_pepper_knows_no_key():
    key, text, _ = make()
    with pytest.raises(Unauthorized):
        KeyRing({key.id: key}, b"q" * 32).check(f"Bearer {text}", NOW)


def test_expiry_is_looked_at_each_time():
    key, text, ring = make(expires=NOW + 10)
    assert ring.check(f"Bearer {text}", NOW + 9.9) is key
    with pytest.raises(Unauthorized, match="expired"):
        ring.check(f"Bearer {text}", NOW + 10)


def test_a_ring_without_the_key_refuses_it():
    _, text, _ = make()
    with pytest.raises(Unauthorized, match="not known"):
        make()[2].check(f"Bearer {text}", NOW)


def test_a_ring_without_any_key_says_that_it_starts():
    """A client shall come again, not believe that its key was revoked."""
    _, text, _ = make()
    with pytest.raises(Unavailable, match="starts") as caught:
        KeyRing({}, PEPPER).check(f"Bearer {text}", NOW)
    assert caught.value.retry_after == 1.0


def test_a_refusal_never_repeats_the_key():
    _, text, _ = make()
    with pytest.raises(Unauthorized) as caught:
        make()[2].check(f"Bearer {text}", NOW)
    assert text[13:] not in caught.value.sentence()


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("admin", {"predict", "metadata", "metrics", "read", "write", "admin"}),
        ("viewer", {"metadata", "metrics", "read"}),
        ("invoker", {"predict", "metadata"}),
    ],
)
def test_roles(role, allowed):
    key = make(role)[0]
    every = set().union(*ACTIONS.values()) | {"unheard-of"}
    assert {action for action in every if may(key, action)} == allowed


def test_the_endpoint_list_limits_a_key():
    key = make(endpoints=("fraud", "churn"))[0]
    assert may(key, "predict", "fraud")
    assert not may(key, "predict", "iris")
    assert may(make()[0], "predict", "iris")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": "No Spaces"}, InvalidName),
        ({"role": "root"}, InvalidInput),
        ({"endpoints": ()}, InvalidInput),
        ({"endpoints": ("../x",)}, InvalidName),
        ({"expires": NOW}, InvalidInput),
    ],
)
def test_mint_refuses_what_it_cannot_keep(change, error):
    given = {"name": "ci", "role": "admin", "endpoints": ("*",), "expires": 0.0, **change}
    with pytest.raises(error):
        mint(**given, now=NOW, pepper=PEPPER)
