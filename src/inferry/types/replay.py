"""Replay: requests that were kept, sent again to a revision, and what came of it.

Data flow: a request that was answered -> KeptInput, a row of the store -> sent to a revision and to the one that serves
-> Replayed: how the answers differ.
"""

from __future__ import annotations

import msgspec

from inferry.types.traffic import FieldDifference


class KeptInput(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came. `door`: of `types.frames`; `media`: its content type; `encoding`: "", gzip or deflate;
    `json_size`: of the JSON in front of binary tensors, 0 for none. `revision`, `version`: who answered it."""

    endpoint: str
    request: str
    revision: int
    version: int
    at: float
    door: int
    media: str = ""
    encoding: str = ""
    json_size: int = 0
    body: bytes = b""


class InputsKept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an endpoint's requests: how many, their bytes, and when the oldest and the newest came."""

    endpoint: str
    requests: int = 0
    bytes: int = 0
    oldest: float = 0.0
    newest: float = 0.0


class ReplayAsk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wish to send requests again. `to`: a revision's number, or `fraud:4` or `fraud@challenger`, which runs at the
    endpoint. `last`: those of so many seconds, the latest `most`. `rate`: so many times as fast as they came, 0 as
    fast as they are answered. `compare`: ask the revision that serves, too."""

    to: str
    last: float = 3600.0
    most: int = 1000
    rate: float = 0.0
    compare: bool = True


class Replayed(msgspec.Struct, kw_only=True):
    """What came of it. `against`: the revision that was asked as well, 0 for none. `sent`: to the revision.
    `passed_over`: requests of doors that are not spoken here. `failed`: it did not answer with 200 where the other did;
    `recovered`: the other way round; `errors`: its answers by status that are not 200 (0: no answer)."""

    endpoint: str
    revision: int
    version: int
    against: int = 0
    sent: int = 0
    passed_over: int = 0
    compared: int = 0
    equal: int = 0
    failed: int = 0
    recovered: int = 0
    errors: dict[str, int] = {}
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    against_p50_ms: float = 0.0
    against_p99_ms: float = 0.0
    fields: dict[str, FieldDifference] = {}

    @property
    def differing(self) -> int:
        """Requests that the revision answered in another way, or not at all."""
        return self.compared - self.equal + self.failed
