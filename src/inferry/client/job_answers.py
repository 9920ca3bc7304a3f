"""What the SDK says of jobs and of files that were scored."""

from __future__ import annotations

import msgspec

from inferry.types.jobs import ENDED, Reason


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `state`: waiting (then `position` counts those that begin before it, itself included), running, succeeded,
    dead or cancelled; `begun`: how often it was; `failures` of at most `attempts`; times: Unix seconds, 0 for not yet.
    `url` and `result`: paths at the inference listener."""

    id: str
    endpoint: str
    state: str
    priority: int
    begun: int
    failures: int
    attempts: int
    created: float
    started: float
    ended: float
    expires: float
    size: int
    result_size: int
    idempotency_key: str = ""
    url: str = ""
    position: int | None = None
    result: str = ""
    reason: Reason | None = None

    @property
    def over(self) -> bool:
        """Whether it ended."""
        return self.state in ENDED


class BatchSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What scoring a file or folder came to. `resumed`: rows that an earlier run had done; `errors`: rows without a
    prediction; `versions`: of the model, as they answered."""

    endpoint: str
    input: str
    output: str
    rows: int = 0
    errors: int = 0
    resumed: int = 0
    files: int = 0
    seconds: float = 0.0
    rows_per_s: float = 0.0
    versions: tuple[str, ...] = ()
