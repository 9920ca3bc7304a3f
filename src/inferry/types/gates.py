"""Gates: what a version must show before it goes on.

Data flow: the `gates:` section of a file -> one of these structs for each entry -> measured against a private copy of
the version -> what came of it (`types.trials`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from inferry.types.signature import Scalar
from inferry.types.units import Megabytes, Seconds

Trouble = Literal["missing", "extreme", "types", "order"]

TROUBLES: tuple[Trouble, ...] = ("missing", "extreme", "types", "order")


class Gate(msgspec.Struct, frozen=True, kw_only=True, tag_field="gate"):
    """What all gates have. `name`: how reports call it, when there are two of a kind. `against`: what it is compared
    with: a version (`fraud:6`) or an endpoint (`fraud`), of which the version with the most traffic is meant."""

    name: str = ""

    @property
    def kind(self) -> str:
        """The word that declares it."""
        return str(self.__struct_config__.tag)

    @property
    def title(self) -> str:
        """How it is called."""
        return self.name or self.kind


class Golden(Gate, frozen=True, kw_only=True, tag="golden"):
    """Recorded inputs with the answers that are expected: `file` has a JSON object a line, `{"input", "expected"}`.
    Labels must be the same, numbers within `tolerance` (of 1, or of the number where that is larger)."""

    file: str
    tolerance: float = 1e-4


class Holdout(Gate, frozen=True, kw_only=True):
    """Rows with their truth, in CSV, JSON lines or Parquet. `target`: the column of the truth; `ignore`: columns
    that the model does not get. `positive`: the class that precision, recall and F1 are of (none: their mean over
    classes). `output`: which output is judged (none: the label, the class chances, or the only number)."""

    data: str
    target: str
    ignore: tuple[str, ...] = ()
    positive: Scalar | None = None
    output: str = ""


class Metrics(Holdout, frozen=True, kw_only=True, tag="metrics"):
    """Metrics of the holdout rows: limits, and the difference to another version on the same rows.

    `not_worse_by`: it must be shown, with this `confidence`, that the metric is not worse by more than that;
    `better_by`: that it is better by more. With `against` alone a metric fails only when it is shown to be worse.
    """

    at_least: dict[str, float] = {}
    at_most: dict[str, float] = {}
    against: str = ""
    not_worse_by: dict[str, float] = {}
    better_by: dict[str, float] = {}
    confidence: float = 0.95


class Slices(Holdout, frozen=True, kw_only=True, tag="slices"):
    """The same limits for the rows of each value of the column `by` that has at least `min_rows`."""

    by: str
    min_rows: int = 30
    at_least: dict[str, float] = {}
    at_most: dict[str, float] = {}


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the time of one request: the median, and what so many percent of them stay under."""

    p50: Seconds | None = None
    p95: Seconds | None = None
    p99: Seconds | None = None


class Ratios(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the same, as so many times those of another version."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Latency(Gate, frozen=True, kw_only=True, tag="latency"):
    """Quantiles of the time of one request on this machine, after `warmup` of them, one after the other. `ratio`: at
    most so many times those of `against`, measured in turn."""

    at_most: Times | None = None
    ratio: Ratios | None = None
    against: str = ""
    requests: int = 200
    warmup: int = 20


class Memory(Gate, frozen=True, kw_only=True, tag="memory"):
    """The most memory that the model's process had resident, after all that the gates before it asked of it."""

    at_most: Megabytes | None = None
    ratio: float | None = None
    against: str = ""


class BundleSize(Gate, frozen=True, kw_only=True, tag="size"):
    """The bytes of the bundle's files."""

    at_most: Megabytes | None = None
    ratio: float | None = None
    against: str = ""


class Schema(Gate, frozen=True, kw_only=True, tag="schema"):
    """Who calls `against` can call it: it takes all that was taken, and answers with all that was answered."""

    against: str


class Robustness(Gate, frozen=True, kw_only=True, tag="robustness"):
    """Inputs with something missing, extreme, of the wrong type, or in another order: the model answers or refuses
    (4xx), and goes on answering. An answer without a number where one belongs fails unless `allow_nan`. `data`: rows
    to begin with (none: the model's own example)."""

    data: str = ""
    ignore: tuple[str, ...] = ()
    checks: tuple[Trouble, ...] = TROUBLES
    allow_nan: bool = False


class Security(Gate, frozen=True, kw_only=True, tag="security"):
    """The artifact's files: what its pickles would import, and secrets. `allow`: imports (`builtins.getattr`) and
    files that are known to be right."""

    allow: tuple[str, ...] = ()


class Parity(Gate, frozen=True, kw_only=True, tag="parity"):
    """A model served as ONNX answers what the native one does: by the record of its conversion, or on the rows of
    `data`, asked of both. `at_most`: the largest difference of a number. `require`: it must be served as ONNX."""

    data: str = ""
    ignore: tuple[str, ...] = ()
    at_most: float | None = None
    require: bool = False


class Command(Gate, frozen=True, kw_only=True, tag="command"):
    """Any command: it passes when it exits with 0 within `timeout`. It finds INFERRY_TEST_URL, INFERRY_TEST_ENDPOINT
    and INFERRY_API_KEY in its environment."""

    run: str | tuple[str, ...]
    timeout: Seconds = 300.0


class Pytest(Gate, frozen=True, kw_only=True, tag="pytest"):
    """A pytest file or folder, run as Command runs one."""

    file: str
    timeout: Seconds = 300.0


AnyGate = (
    Golden
    | Metrics
    | Slices
    | Latency
    | Memory
    | BundleSize
    | Schema
    | Robustness
    | Security
    | Parity
    | Command
    | Pytest
)
DEFAULT_GATES: tuple[Gate, ...] = (Robustness(), Security(), Parity())
"""What is asked of a version when nothing is declared."""
