"""Subject: a private copy of a version, and how it is asked.

Data flow: a JSON body -> one connection to its plain door -> status and answer. Nothing is tried again: what fails
once has failed. Rows of a file become bodies by the model's signature.
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from inferry.bundles.pack import read_manifest
from inferry.errors import InvalidInput, ModelFailed
from inferry.gates.rows import Record, Rows
from inferry.types.bundle import Manifest
from inferry.types.signature import Signature

CHUNK = 200
WAIT_S = 120.0


@dataclass
class Subject:
    """`name`: how reports call it. `url`, `key`, `endpoint`: where it answers. `bundle`: its folder, of that `digest`.
    `replicas`: the processes that the model runs in."""

    name: str
    url: str
    key: str = field(repr=False)
    endpoint: str
    bundle: Path
    digest: str
    replicas: tuple[int, ...] = ()

    @cached_property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return read_manifest(self.bundle)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.manifest.signature

    @property
    def example(self) -> Any:
        """A body that works, when one is known."""
        return msgspec.json.decode(self.manifest.inspection.example)

    @property
    def size(self) -> int:
        """The bytes of the bundle's files."""
        return sum(entry.size for entry in self.manifest.files)

    @cached_property
    def _connection(self) -> http.client.HTTPConnection:
        place = urlsplit(self.url)
        return http.client.HTTPConnection(place.hostname or "", place.port, timeout=WAIT_S)

    def post(self, body: Any) -> tuple[int, Any]:
        """Status and answer; 0 and words when the connection broke."""
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        try:
            self._connection.request("POST", f"/predict/{self.endpoint}", content, headers)
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return 0, f"the connection broke: {error}"
        try:
            return answer.status, msgspec.json.decode(data)
        except msgspec.DecodeError:
            return answer.status, data.decode("utf-8", "replace")

    def predict(self, body: Any) -> list[Any]:
        """The predictions for a body, one a row. Raises ModelFailed with what was answered instead."""
        status, answer = self.post(body)
        if status != 200 or not isinstance(answer, dict) or "predictions" not in answer:
            raise ModelFailed(f"{self.name} did not answer: {words_of(status, answer)}.", help="See the row it got.")
        found = answer["predictions"]
        return found if isinstance(found, list) else [found]

    def predict_rows(self, rows: Rows, features: Sequence[str]) -> list[Any]:
        """The predictions for all rows of a file. Raises InvalidInput when the file does not fit the model."""
        found: list[Any] = []
        for at in range(0, len(rows.records), CHUNK):
            part = rows.records[at : at + CHUNK]
            told = self.predict(self.body(rows, part, features))
            if len(told) != len(part):
                raise ModelFailed(
                    f"{self.name} answers {len(told)} predictions for {len(part)} rows.",
                    help="Only a model that goes row by row can be judged by rows.",
                )
            found += told
        return found

    def body(self, rows: Rows, records: Sequence[Record], features: Sequence[str]) -> Any:
        """The body for some records. `features`: the columns that are not the truth, for a model without names."""
        inputs = self.signature.inputs
        names = [spec.name for spec in inputs]
        lone = len(inputs) == 1 and self.signature.kind == "tensors" and names[0] not in rows.names
        if lone:
            width = inputs[0].shape[1] if len(inputs[0].shape) == 2 else 1
            if width not in (-1, len(features)):
                raise InvalidInput(
                    f"{rows.file} has {len(features)} columns for the model, which takes {width}.",
                    help=f"Leave some out with ignore: they are {', '.join(features)}.",
                )
            return [[record.get(name) for name in features] for record in records]
        wanted = names or list(features)
        lost = [name for name in wanted if name not in rows.names]
        if lost:
            raise InvalidInput(
                f"{rows.file} has no column {lost[0]!r}, which the model takes.", help=f"It takes {', '.join(names)}."
            )
        return [{name: record.get(name) for name in wanted} for record in records]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def words_of(status: int, answer: Any) -> str:
    """An answer that is no prediction, in words."""
    error = answer.get("error") if isinstance(answer, dict) else None
    told = error.get("message", "") if isinstance(error, dict) else str(answer)[:200]
    return f"{status}, {told}".rstrip(". ,") if status else told
