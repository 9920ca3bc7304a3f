"""MLflow's REST API, as much of it as a registry is watched with: an alias, a run, the files of a version.

Data flow: Registry -> GET -> JSON of a bounded size -> the few fields that are needed; or a file, written as it comes.

Plain REST and not the package mlflow-skinny: five routes that have been the same since MLflow 2.3, against some fifty
packages that would have to agree with those of the platform.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from inferry.bridges.mlflow_login import Server
from inferry.errors import (
    DeadlineExceeded,
    Forbidden,
    InferryError,
    InvalidInput,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from inferry.version import __version__

T = TypeVar("T")

TIMEOUT_S = 30.0
MAX_JSON = 16 << 20
REST = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
ABSENT = "RESOURCE_DOES_NOT_EXIST"


class Pair(msgspec.Struct, frozen=True):
    """A tag."""

    key: str
    value: str = ""


class Measured(msgspec.Struct, frozen=True):
    """The last value of a metric."""

    key: str
    value: float | str | None = None


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A version in MLflow's registry."""

    name: str
    version: str
    status: str = "READY"
    run_id: str = ""
    description: str = ""
    tags: tuple[Pair, ...] = ()


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What a run logged. `data`: name and digest of each data set."""

    tags: tuple[Pair, ...] = ()
    metrics: tuple[Measured, ...] = ()
    data: tuple[tuple[str, str], ...] = ()


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder, named in the folder it is in."""

    path: str
    is_dir: bool = False
    file_size: int | str | None = None


class _Error(msgspec.Struct):
    error_code: str
    message: str = ""


class _Version(msgspec.Struct):
    model_version: Registered


class _Uri(msgspec.Struct):
    artifact_uri: str = ""


class _Data(msgspec.Struct):
    metrics: tuple[Measured, ...] = ()
    tags: tuple[Pair, ...] = ()


class _Dataset(msgspec.Struct):
    name: str = ""
    digest: str = ""


class _DatasetInput(msgspec.Struct):
    dataset: _Dataset = msgspec.field(default_factory=_Dataset)


class _Inputs(msgspec.Struct):
    dataset_inputs: tuple[_DatasetInput, ...] = ()


class _Run(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)
    inputs: _Inputs = msgspec.field(default_factory=_Inputs)


class _RunAnswer(msgspec.Struct):
    run: _Run


class _Files(msgspec.Struct):
    files: tuple[Listed, ...] = ()


class Registry:
    """The registry of one tracking server. Proxies of the environment are used, redirects are not followed."""

    def __init__(self, server: Server, *, timeout: float = TIMEOUT_S) -> None:
        self.url = server.url
        headers = {"user-agent": f"inferry/{__version__}"}
        if server.authorization:
            headers["authorization"] = server.authorization
        verify = ssl.create_default_context(cafile=server.verify) if isinstance(server.verify, str) else server.verify
        self._http = httpx.Client(headers=headers, verify=verify, timeout=timeout, follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def aliased(self, model: str, alias: str) -> Registered:
        """The version that an alias names. Raises NotFound when there is no such model or alias (yet)."""
        asked = {"name": model, "alias": alias}
        return self._get(f"{REST}/registered-models/alias", asked, _Version).model_version

    def training(self, run: str) -> Training:
        """What a run logged; nothing when it was deleted."""
        try:
            found = self._get(f"{REST}/runs/get", {"run_id": run}, _RunAnswer).run
        except NotFound:
            return Training()
        data = tuple((one.dataset.name, one.dataset.digest) for one in found.inputs.dataset_inputs)
        return Training(tags=found.data.tags, metrics=found.data.metrics, data=data)

    def folder(self, model: str, version: str) -> str:
        """Where this server's artifact proxy has a version's files. Raises Unsupported when it does not."""
        asked = {"name": model, "version": version}
        uri = self._get(f"{REST}/model-versions/get-download-uri", asked, _Uri).artifact_uri
        parts = urlsplit(uri)
        here = parts.netloc in ("", urlsplit(self.url).netloc)
        if parts.scheme == "mlflow-artifacts" and here:
            path = parts.path
        elif here and parts.scheme in ("http", "https") and PROXY in parts.path:
            path = parts.path.partition(PROXY)[2]
        else:
            raise Unsupported(
                f"The files of version {version} are at {shown(uri)}, which the tracking server does not hand out.",
                help="Start it with --serve-artifacts, and log the model anew.",
            )
        return path.strip("/")

    def listing(self, folder: str) -> tuple[Listed, ...]:
        """What is in a folder of the proxy."""
        return self._get(PROXY, {"path": folder}, _Files).files

    def fetch(self, path: str, into: Path, most: int) -> int:
        """Write a file of the proxy; its size. Raises TooLarge past `most` bytes."""
        size = 0
        with self._asked(f"{PROXY}/{quote(path)}", {}) as answer, into.open("xb") as file:
            for chunk in answer.iter_bytes():
                size += len(chunk)
                if size > most:
                    raise TooLarge(f"{shown(path)} is larger than was listed, or than may be fetched.")
                file.write(chunk)
        return size

    def _get(self, path: str, asked: dict[str, str], type_: type[T]) -> T:
        with self._asked(path, asked) as answer:
            return self._read(_bounded(answer), type_)

    def _read(self, body: bytes, type_: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=type_)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._stranger() from error

    @contextmanager
    def _asked(self, path: str, asked: dict[str, Any]) -> Iterator[httpx.Response]:
        """A good answer, its body still to be read."""
        try:
            with self._http.stream("GET", self.url + path, params=asked or None) as answer:
                if answer.status_code != 200:
                    raise self._failure(answer.status_code, _bounded(answer))
                yield answer
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"{self.url} does not answer in time.", help="Is it busy?") from error
        except httpx.ConnectError as error:
            raise Unavailable(
                f"{self.url} cannot be reached: {shown(str(error))}", help="Is the server running?"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"The connection to {self.url} broke: {shown(str(error))}") from error

    def _failure(self, status: int, body: bytes) -> InferryError:
        """The error that a status stands for."""
        if status == 401:
            return Unauthorized(
                f"{self.url} wants to know who asks.",
                help="Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
            )
        if status == 403:
            return Forbidden(f"{self.url} does not let this user read that.", help="Ask for the permission to read.")
        if status == 429 or status >= 500:
            return Unavailable(f"{self.url} answered with status {status}.")
        return self._refusal(status, body)

    def _refusal(self, status: int, body: bytes) -> InferryError:
        """The error that MLflow says; or that it is not MLflow who speaks."""
        try:
            said = msgspec.json.decode(body, type=_Error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._stranger(f" It answered with status {status}.")
        if said.error_code == ABSENT or "not found" in said.message:  # an alias is absent as an invalid parameter
            return NotFound(shown(said.message) or "MLflow has no such thing.", help="Look for it in MLflow.")
        return InvalidInput(f"MLflow refused: {shown(said.message)}", help="Check the names.")

    def _stranger(self, more: str = "") -> InferryError:
        return InvalidInput(
            f"What answers at {self.url} is not an MLflow tracking server.{more}",
            help="Give the address that MLFLOW_TRACKING_URI would have.",
        )


def shown(text: str) -> str:
    """What a server said, fit for a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text[:300]).strip()


def _bounded(answer: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > MAX_JSON:
            raise TooLarge("The tracking server's answer is endless.", help="Is that an MLflow server?")
    return bytes(body)
