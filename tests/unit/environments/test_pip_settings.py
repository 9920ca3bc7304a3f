"""pip's configuration files and variables, and what uv gets of them."""

import os
from pathlib import Path

import pytest

from inferry.environments.pip_settings import read_pip_settings
from inferry.errors import EnvironmentFailed

INDEX = "https://user:pass@index.test/simple"


@pytest.fixture
def place(tmp_path):
    class Place:
        home, etc, prefix = tmp_path / "home", tmp_path / "etc", tmp_path / "prefix"

        def write(self, where, text):
            path = {
                "global": self.etc / "pip.conf",
                "xdg": self.etc / "xdg" / "pip" / "pip.conf",
                "user": self.home / ".config" / "pip" / "pip.conf",
                "legacy": self.home / ".pip" / "pip.conf",
                "site": self.prefix / "pip.conf",
                "named": tmp_path / "named.conf",
            }[where]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return path

        def read(self, **environment):
            return read_pip_settings(environment, self.home, prefix=self.prefix, etc=self.etc)

    return Place()


def test_nothing_set_trusts_the_systems_certificates(place):
    made = place.read().environment()
    assert made["UV_SYSTEM_CERTS"] == made["UV_NATIVE_TLS"] == "1"
    assert made["UV_PYTHON_DOWNLOADS"] == "never"
    assert not {"UV_DEFAULT_INDEX", "UV_FIND_LINKS", "SSL_CERT_FILE"} & set(made)
    assert place.read().flags() == []


def test_every_option_reaches_uv(place):
    place.write(
        "user",
        f"""[global]
index-url = {INDEX}
extra-index-url =
    https://one.test/simple
    https://two.test/simple
find-links = /opt/wheels ~/wheels
constraint = /etc/constraints.txt
cert = /etc/ca.pem
trusted-host = index.test
    one.test:8443
no-index = yes
proxy = http://proxy.test:3128
timeout = 99
""",
    )
    settings = place.read()
    made = settings.environment()
    assert made["UV_DEFAULT_INDEX"] == INDEX
    assert made["UV_INDEX"] == "https://one.test/simple https://two.test/simple"
    assert made["UV_FIND_LINKS"] == f"/opt/wheels,{place.home}/wheels"
    assert made["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert made["UV_INSECURE_HOST"] == "index.test one.test:8443"
    assert made["ALL_PROXY"] == "http://proxy.test:3128"
    assert made["UV_HTTP_TIMEOUT"] == "99"
    assert "UV_SYSTEM_CERTS" not in made
    assert settings.flags() == ["--constraint", "/etc/constraints.txt", "--no-index"]
    assert settings.source_flags() == ["--no-index"]


def test_credentials_never_stand_in_flags(place):
    place.write("user", f"[global]\nindex-url = {INDEX}\nextra-index-url = {INDEX}\nfind-links = {INDEX}\n")
    assert "pass" not in " ".join(place.read().flags())


def test_later_files_win_key_by_key(place):
    order = ["xdg", "global", "legacy", "user", "site"]
    for number, where in enumerate(order):
        place.write(
            where, f"[global]\nindex-url = https://{where}.test\n" + (f"timeout = {number}\n" if not number else "")
        )
        assert place.read().index_url == f"https://{where}.test"
    assert place.read().timeout == "0"


def test_a_named_file_replaces_the_users_and_devnull_replaces_all(place):
    place.write("global", "[global]\ntimeout = 1\n")
    place.write("user", "[global]\nindex-url = https://user.test\n")
    named = place.write("named", "[global]\nproxy = http://p.test\n")
    settings = place.read(PIP_CONFIG_FILE=str(named))
    assert (settings.timeout, settings.index_url, settings.proxy) == ("1", "", "http://p.test")
    assert place.read(PIP_CONFIG_FILE=os.devnull).timeout == ""
    assert place.read(PIP_CONFIG_FILE="/no/such/file").index_url == "https://user.test"


def test_the_install_section_wins_over_global_and_variables_over_both(place):
    place.write("global", "[install]\nindex-url = https://install.test\n")
    place.write("user", "[global]\nindex_url = https://global.test\n")
    assert place.read().index_url == "https://install.test"
    assert place.read(PIP_INDEX_URL="https://variable.test").index_url == "https://variable.test"
    assert place.read(PIP_INDEX_URL=" ").index_url == "https://install.test"


def test_configured_folders_elsewhere(place, tmp_path):
    (tmp_path / "shared" / "pip").mkdir(parents=True)
    (tmp_path / "shared" / "pip" / "pip.conf").write_text("[global]\ntimeout = 5\n")
    (tmp_path / "own" / "pip").mkdir(parents=True)
    (tmp_path / "own" / "pip" / "pip.conf").write_text("[global]\nproxy = http://p.test\n")
    settings = place.read(XDG_CONFIG_DIRS=str(tmp_path / "shared"), XDG_CONFIG_HOME=str(tmp_path / "own"))
    assert (settings.timeout, settings.proxy) == ("5", "http://p.test")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_named_for_other_programs_counts(place, name):
    assert place.read(**{name: "/ca.pem"}).environment()["SSL_CERT_FILE"] == "/ca.pem"
    assert place.read(**{name: "/ca.pem"}, PIP_CERT="~/mine.pem").cert == f"{place.home}/mine.pem"


def test_relative_places_become_absolute_and_addresses_stay(place):
    settings = place.read(PIP_FIND_LINKS="wheels https://links.test/x", PIP_CONSTRAINT="https://c.test/c.txt")
    assert settings.find_links == (str(Path.cwd() / "wheels"), "https://links.test/x")
    assert settings.constraints == ("https://c.test/c.txt",)


def test_only_known_variables_are_passed_on(place):
    made = place.read(
        PATH="/bin", HTTPS_PROXY="http://p", UV_INDEX_STRATEGY="unsafe-best-match", AWS_SECRET="x", UV_TARGET="/t"
    ).environment()
    assert made["PATH"] == "/bin"
    assert made["HTTPS_PROXY"] == "http://p"
    assert made["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert not {"AWS_SECRET", "UV_TARGET"} & set(made)


def test_uvs_own_variables_win_over_pips(place):
    made = place.read(PIP_INDEX_URL="https://pip.test", UV_DEFAULT_INDEX="https://uv.test").environment()
    assert made["UV_DEFAULT_INDEX"] == "https://uv.test"


@pytest.mark.parametrize("text", ["no section = 1\n", "[global\n", b"\xff\xfe[global]\n"])
def test_a_broken_file_is_named(place, text):
    path = place.write("user", "")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EnvironmentFailed, match=r"pip\.conf cannot be read"):
        place.read()
