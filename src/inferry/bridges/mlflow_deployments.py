"""`mlflow deployments -t inferry`: MLflow's own commands and Python calls, on this platform.

Data flow: MLflow finds this module by the entry point `mlflow.deployments` -> a target's address -> Deployments, whose
calls become those of our client; every InferryError becomes an MlflowException.

Only MLflow imports this module: nothing of ours does, for it imports MLflow.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from mlflow.artifacts import download_artifacts
from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import ErrorCode
from mlflow.utils.proto_json_utils import NumpyEncoder

from inferry.client.faces import Client
from inferry.client.settings import resolve
from inferry.errors import InferryError, NotFound
from inferry.types.lineage import Lineage

PREDICT_S = 300.0
ANY_FLAVOR = "python_function"

CODES = {
    "not_found": "RESOURCE_DOES_NOT_EXIST",
    "conflict": "INVALID_STATE",
    "breaking_change": "INVALID_STATE",
    "unauthorized": "UNAUTHENTICATED",
    "forbidden": "PERMISSION_DENIED",
    "overloaded": "REQUEST_LIMIT_EXCEEDED",
    "unavailable": "TEMPORARILY_UNAVAILABLE",
    "deadline_exceeded": "DEADLINE_EXCEEDED",
}


def truth(value: Any) -> bool:
    """A yes or no, however it was written. Raises KeyError."""
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[str(value).lower()]


READERS: dict[str, Callable[[Any], Any]] = {
    "replicas": int, "timeout_s": float, "memory_mb": int, "cpus": float, "threads": int, "device": str, "gpus": float,
    "gpu_memory_mb": int, "convert": str, "sample": str, "rollout": str, "traffic": int, "keep_warm": truth,
    "allow_breaking": truth,
}  # fmt: skip
"""What `-C NAME=VALUE` may say, by name: arguments of `inferry deploy`."""


def target_help() -> str:
    """What `mlflow deployments help -t inferry` prints."""
    return f"""\
Deploys MLflow models to Inferry. A deployment is an endpoint.

Targets:
  inferry                            the platform at INFERRY_URL, or the one of this machine
  inferry:/http://HOST:PORT          the platform whose control API is there
The key is INFERRY_API_KEY, or on the platform's own machine that of its home (INFERRY_HOME).

Settings, as -C NAME=VALUE: {", ".join(READERS)}.
They mean what the options of `inferry deploy` mean. `rollout=default` with an update gives the new version its traffic
step by step.

`update` without a model configures the version that is served. `run-local` serves the model on this machine, at
127.0.0.1:8000 (-C port=PORT), until it is interrupted.
"""


def run_local(name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, Any] | None = None) -> None:
    """Serve a model on this machine, without a platform, until it is interrupted."""
    settings = dict(config or {})
    port = str(settings.pop("port", 8000))
    if settings:
        raise MlflowException.invalid_parameter_value(f"run-local takes the setting port, not {', '.join(settings)}.")
    with fetched(model_uri, flavor) as (folder, _):
        command = [sys.executable, "-c", "from inferry.cli.main import main; main()"]
        ended = subprocess.run(
            [*command, "serve", str(folder), "--name", name, "--port", port, "--grpc-port", "0"], check=False
        )
    if ended.returncode not in (0, 130):
        raise MlflowException(f"inferry serve ended with exit code {ended.returncode}.")


class Deployments(BaseDeploymentClient):  # type: ignore[misc]
    """The endpoints of a platform as MLflow's deployments."""

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        with told():
            self._settings = resolve(address_of(target_uri))
            self._client = Client(self._settings)

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Deploy a model to an endpoint that is not there yet; returns when it answers."""
        name, settings = endpoint or name, read(config)
        with told():
            if self._found(name) is not None:
                raise refusal(
                    f"The endpoint {name!r} is there already. Update it, or delete it first.", "RESOURCE_ALREADY_EXISTS"
                )
            return self._deploy(name, model_uri, flavor, settings)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Give an endpoint another model, or without one another configuration; it serves meanwhile."""
        name, settings = endpoint or name, read(config)
        with told():
            found = self._client.describe(name)
            if model_uri is not None:
                return self._deploy(name, model_uri, flavor, settings)
            made = self._client.deploy(f"{found.model}:{found.version}", name, **settings)
            return {"name": name, "flavor": flavor or ANY_FLAVOR, "revision": made.revision}

    def delete_deployment(
        self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None
    ) -> None:
        """Stop serving; versions stay. What is not there is deleted already."""
        with told():
            if self._found(endpoint or name) is not None:
                self._client.delete(endpoint or name)

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """All endpoints, or the one of a name."""
        with told():
            return [row(found) for found in self._client.endpoints() if endpoint in (None, found.name)]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """One endpoint."""
        with told():
            return row(self._client.describe(endpoint or name))

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> PredictionsResponse:
        """What the model's `pyfunc.predict` gives for a data frame, arrays, lists or a dict of them."""
        with told():
            place = self._settings.http or self._client.info().http
            key = self._settings.key
            name = quote(endpoint or deployment_name or "", safe="")
            answer = httpx.post(
                f"{place}/endpoints/{name}/invocations",
                content=body_of(inputs),
                headers={"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {}),
                timeout=PREDICT_S,
                trust_env=False,
            )
        if answer.status_code != 200:
            raise failure(answer)
        return PredictionsResponse.from_json(answer.text)

    def _deploy(self, name: str, model_uri: str, flavor: str | None, settings: dict[str, Any]) -> dict[str, Any]:
        with fetched(model_uri, flavor) as (folder, flavors):
            lineage = Lineage(labels={"mlflow.uri": model_uri})
            made = self._client.deploy(folder, name, lineage=lineage, **settings)
        return {
            "name": name,
            "flavor": flavor or (flavors[0] if flavors else ANY_FLAVOR),
            "version": made.version,
            "revision": made.revision,
            "url": made.url,
        }

    def _found(self, name: str) -> Any:
        try:
            return self._client.describe(name)
        except NotFound:
            return None


def address_of(target: str) -> str | None:
    """`inferry:/http://host:port` names an address, `inferry` none."""
    rest = target.partition(":")[2].strip()
    return rest.lstrip("/") or None


def row(found: Any) -> dict[str, Any]:
    """An endpoint as MLflow shows it."""
    return {
        "name": found.name,
        "model": found.model,
        "version": found.version,
        "revision": found.revision,
        "state": found.state,
        "problem": found.problem,
        "url": found.url,
    }


def read(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings, which the command line gives as texts, as arguments of a deploy."""
    made = {}
    for name, value in (config or {}).items():
        if name not in READERS:
            raise MlflowException.invalid_parameter_value(f"{name!r} is not a setting. There are: {', '.join(READERS)}")
        try:
            made[name] = READERS[name](value)
        except (KeyError, TypeError, ValueError):
            raise MlflowException.invalid_parameter_value(f"{name} cannot be {value!r}.") from None
    return made


@contextmanager
def fetched(model_uri: str, flavor: str | None) -> Iterator[tuple[Path, list[str]]]:
    """A model's folder, fetched by MLflow itself, and its flavors, the native ones first."""
    with tempfile.TemporaryDirectory(prefix="inferry-mlflow-") as scratch:
        folder = Path(download_artifacts(artifact_uri=model_uri, dst_path=scratch))
        flavors = sorted(Model.load(str(folder)).flavors, key=lambda one: one == ANY_FLAVOR)
        if flavor is not None and flavor not in flavors:
            raise MlflowException.invalid_parameter_value(
                f"The model has no flavor {flavor!r}. It has: {', '.join(flavors)}."
            )
        yield folder, flavors


def body_of(inputs: Any) -> str:
    """The body of an invocation, as MLflow's server takes it."""
    if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):
        return f'{{"dataframe_split": {inputs.to_json(orient="split", date_format="iso")}}}'
    return json.dumps({"inputs": inputs}, cls=NumpyEncoder)


@contextmanager
def told() -> Iterator[None]:
    """Say our errors as MLflow's."""
    try:
        yield
    except InferryError as error:
        raise refusal(error.sentence(), CODES.get(error.code, code_of(error.status))) from error
    except httpx.HTTPError as error:
        raise refusal(f"The platform does not answer: {error}", "TEMPORARILY_UNAVAILABLE") from error


def refusal(message: str, code: str) -> MlflowException:
    """An error with one of MLflow's codes, by name."""
    return MlflowException(message, error_code=ErrorCode.Value(code))


def code_of(status: int) -> str:
    """MLflow's code for a status of ours."""
    return "INTERNAL_ERROR" if status >= 500 else "INVALID_PARAMETER_VALUE"


def failure(answer: httpx.Response) -> MlflowException:
    """What the endpoint said in place of predictions."""
    try:
        said = dict(answer.json())
    except ValueError:
        said = {}
    message = str(said.get("message") or said.get("error") or f"The platform answered with {answer.status_code}.")
    known = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST",
             429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}  # fmt: skip
    return refusal(message, known.get(answer.status_code, code_of(answer.status_code)))
