"""pip's configuration, read for uv, which does not read it by itself.

Data flow: the caller's environment and home -> pip's files (global, user, site, PIP_CONFIG_FILE),
later ones winning key by key, `[install]` over `[global]`, then PIP_* variables ->
`PipSettings` -> `environment()` and `flags()` for a uv command.

Addresses travel in variables and not in flags, since they may hold credentials and any user
can read the process list. uv asks one index per package (the first that has it), where pip
mixes all of them: that is the safer rule, and UV_INDEX_STRATEGY changes it.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inferry.errors import EnvironmentFailed

TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PASSED = (
    "PATH", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "all_proxy", "no_proxy", "NETRC", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL",
    "UV_INDEX_STRATEGY", "UV_FIND_LINKS", "UV_KEYRING_PROVIDER", "UV_HTTP_TIMEOUT", "UV_OFFLINE",
)  # fmt: skip
"""What a uv command sees of the caller's environment as it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PipSettings:
    """Where packages come from. Local paths are absolute; empty means not set."""

    home: Path
    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    cert: str = ""
    trusted_hosts: tuple[str, ...] = ()
    no_index: bool = False
    proxy: str = ""
    timeout: str = ""
    passed: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The whole environment for a uv command. With no certificate named, the system's store is trusted."""
        made = {"HOME": str(self.home), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
        named = {
            "UV_DEFAULT_INDEX": self.index_url,
            "UV_INDEX": " ".join(self.extra_index_urls),
            "UV_FIND_LINKS": ",".join(self.find_links),
            "UV_INSECURE_HOST": " ".join(self.trusted_hosts),
            "UV_HTTP_TIMEOUT": self.timeout,
            "ALL_PROXY": self.proxy,
            "SSL_CERT_FILE": self.cert,
        }
        made |= {name: value for name, value in named.items() if value}
        if not self.cert:
            made |= {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}  # the second is the name before uv 0.11
        return {**made, **self.passed}

    def flags(self) -> list[str]:
        """Flags for `uv pip compile`; the constraints need none again on a finished lock."""
        constraints = [word for path in self.constraints for word in ("--constraint", path)]
        return [*constraints, *self.source_flags()]

    def source_flags(self) -> list[str]:
        """Flags for any uv command that fetches packages."""
        return ["--no-index"] if self.no_index else []


def read_pip_settings(
    environment: Mapping[str, str], home: Path, *, prefix: Path | None = None, etc: Path = Path("/etc")
) -> PipSettings:
    """What pip would use for `pip install`. `prefix`: the Python prefix whose own pip.conf counts."""
    found: dict[str, str] = {}
    for path in _files(environment, home, prefix, etc):
        found |= _read(path)
    options = {key.removeprefix("global."): value for key, value in found.items() if key.startswith("global.")}
    options |= {key.removeprefix("install."): value for key, value in found.items() if key.startswith("install.")}
    for name, value in environment.items():
        if name.startswith("PIP_") and value.strip():
            options[_key(name.removeprefix("PIP_"))] = value
    certificate = options.get("cert", "") or next(
        (environment[name] for name in CERTIFICATE_VARIABLES if environment.get(name)), ""
    )
    return PipSettings(
        home=home,
        index_url=options.get("index-url", "").strip(),
        extra_index_urls=tuple(options.get("extra-index-url", "").split()),
        find_links=tuple(_place(place, home) for place in options.get("find-links", "").split()),
        constraints=tuple(_place(place, home) for place in options.get("constraint", "").split()),
        cert=_place(certificate.strip(), home) if certificate.strip() else "",
        trusted_hosts=tuple(options.get("trusted-host", "").split()),
        no_index=options.get("no-index", "").strip().lower() in TRUE,
        proxy=options.get("proxy", "").strip(),
        timeout=(options.get("timeout") or options.get("default-timeout", "")).strip(),
        passed={name: environment[name] for name in PASSED if environment.get(name)},
    )


def _files(environment: Mapping[str, str], home: Path, prefix: Path | None, etc: Path) -> list[Path]:
    """The configuration files, weakest first, by pip's own rules."""
    named = environment.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    shared = [Path(place) for place in environment.get("XDG_CONFIG_DIRS", "").split(":") if place] or [etc / "xdg"]
    files = [*(place / "pip" / "pip.conf" for place in shared), etc / "pip.conf"]
    if not (named and Path(named).exists()):
        own = environment.get("XDG_CONFIG_HOME")
        files += [home / ".pip" / "pip.conf", (Path(own) if own else home / ".config") / "pip" / "pip.conf"]
    if prefix is not None:
        files.append(prefix / "pip.conf")
    if named:
        files.append(Path(named))
    return files


def _read(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise EnvironmentFailed(
            f"pip's configuration file {path} cannot be read.", help="Mend it, or see `pip config debug`."
        ) from error
    return {
        f"{section}.{_key(name)}": value
        for section in parser.sections()
        for name, value in parser.items(section)
        if value.strip()
    }


def _key(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _place(place: str, home: Path) -> str:
    if "://" in place or place.startswith("file:"):
        return place
    if place == "~" or place.startswith("~/"):
        return str(home / place[2:])
    return str(Path(place).absolute())
