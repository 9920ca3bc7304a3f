"""The database's URL: what it says, what is refused, and that its password is never told."""

from __future__ import annotations

import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.types.database import parse_database_url

words = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(user=words, password=words, name=words)
def test_any_user_password_and_name_can_be_written(user, password, name) -> None:
    quoted = (quote(part, safe="") for part in (user, password, name))
    url = parse_database_url("postgresql://{}:{}@db.example.com:6432/{}".format(*quoted))
    assert (url.user, url.password, url.name, url.host, url.port) == (user, password, name, "db.example.com", 6432)


@given(password=st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=6), rest=st.text())
def test_no_password_is_ever_told(password, rest) -> None:
    secret = "s3cr3t" + quote(password, safe="")
    try:
        url = parse_database_url(f"postgresql://me:{secret}@h/db{rest}")
    except InvalidInput as error:
        told = "".join(traceback.format_exception(error))
    else:
        told = f"{url!r} {url} {url.shown} {url.server}"
    assert "s3cr3t" not in told


@pytest.mark.parametrize(
    ("text", "shown", "mode"),
    [
        ("postgresql://u:p@localhost/d", "postgresql://u@localhost:5432/d", "disable"),
        ("postgres://u@127.0.0.1:1/d", "postgresql://u@127.0.0.1:1/d", "disable"),
        ("postgresql://u:p@[::1]:5/d", "postgresql://u@[::1]:5/d", "disable"),
        ("postgresql://u:p@db/d", "postgresql://u@db:5432/d", "verify-full"),
        ("postgresql://u:p@db/d?sslmode=require", "postgresql://u@db:5432/d", "require"),
        ("postgresql://u@/d?host=/run/pg&port=9", "postgresql://u@/d?host=/run/pg&port=9", "disable"),
        ("postgresql://u@%2Frun%2Fpg/d", "postgresql://u@/d?host=/run/pg&port=5432", "disable"),
    ],
)
def test_what_is_left_out_is_filled_in(text, shown, mode) -> None:
    url = parse_database_url(f"  {text}\n")
    assert (url.shown, url.sslmode) == (shown, mode)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not begin"),
        ("mysql://u:p@h/d", "does not begin"),
        ("postgresql+psycopg://u:p@h/d", "does not begin"),
        ("sqlite:////tmp/a.db", "SQLite has no URL"),
        ("postgresql://h/d", "names no user"),
        ("postgresql://u:p@h", "names no database"),
        ("postgresql://u:p@h/", "names no database"),
        ("postgresql://u:p@h:0/d", "port"),
        ("postgresql://u:p@h:70000/d", "port"),
        ("postgresql://u:p@h:x/d", "port"),
        ("postgresql://u:a/b@h/d", "cannot be used"),
        ("postgresql://u:a#b@h/d", "cannot be used"),
        ("postgresql://u:p@h/d/e", "not written as"),
        ("postgresql://u:p@h/d?sslmode", "cannot be read"),
        ("postgresql://u:p@h/d?sslmode=prefer", "is no sslmode"),
        ("postgresql://u:p@h/d?target=a", "unknown option, 'target'"),
        ("postgresql://u:p@localhost/d?sslrootcert=/a", "without TLS"),
        ("postgresql://u:p@h/d?sslcert=/a", "pair of files"),
        ("postgresql://u@/d?host=/run&sslmode=require", "no TLS"),
        ("postgresql://u:p\x00@h/d", "control characters"),
        ("postgresql://u:p@h/" + "d" * 5000, "too long"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(text, words) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse_database_url(text)
