"""Arguments, then environment, then the home's files, then defaults; the key stays at home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inferry.client.settings import DEFAULT_URL, resolve
from inferry.errors import InvalidInput


@pytest.fixture
def home(tmp_path):
    addresses = {"http": "http://127.0.0.1:8100/", "control": "http://127.0.0.1:8180", "pid": 7}
    (tmp_path / "addresses.json").write_text(json.dumps(addresses))
    (tmp_path / "admin.key").write_text("inf_home\n")
    return tmp_path


def test_the_home_says_where_the_platform_is(home):
    found = resolve(home=home, environ={})
    assert (found.control, found.http, found.key) == ("http://127.0.0.1:8180", "http://127.0.0.1:8100", "inf_home")
    assert "inf_home" not in repr(found)


def test_the_environment_wins_over_the_home(home):
    environ = {"INFERRY_HOME": str(home), "INFERRY_URL": "https://ml.example/", "INFERRY_API_KEY": "inf_env"}
    found = resolve(environ=environ)
    assert (found.home, found.control, found.http, found.key) == (home, "https://ml.example", "", "inf_env")


def test_arguments_win_over_the_environment(home):
    environ = {"INFERRY_HOME": "/nowhere", "INFERRY_URL": "http://env:1", "INFERRY_API_KEY": "inf_env"}
    found = resolve("http://arg:2", "inf_arg", home, environ=environ)
    assert (found.home, found.control, found.key) == (home, "http://arg:2", "inf_arg")


def test_without_anything_the_defaults_serve(tmp_path):
    found = resolve(home=tmp_path, environ={})
    assert (found.control, found.http, found.key) == (DEFAULT_URL, "", "")
    assert resolve(environ={}).home == Path("~/.inferry").expanduser()


def test_the_admin_key_is_not_sent_elsewhere(home):
    assert resolve("https://ml.example", home=home, environ={}).key == ""
    assert resolve("http://localhost:9000", home=home, environ={}).key == "inf_home"


def test_half_written_addresses_are_no_addresses(home):
    (home / "addresses.json").write_text('{"http": "http')
    assert resolve(home=home, environ={}).control == DEFAULT_URL


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "http://", "nonsense"])
def test_an_address_looks_like_one(url):
    with pytest.raises(InvalidInput, match="is not an address"):
        resolve(url, environ={})
