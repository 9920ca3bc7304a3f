"""What the servers answer, as typed values: one class per document of the control and inference APIs.

Times are Unix seconds, durations milliseconds. A field that an older server does not send has a default.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.analysis import Reading
from inferry.types.density import MemoryStatus
from inferry.types.devices import Devices
from inferry.types.experiment import ExperimentRecord, Seen
from inferry.types.feedback import FeedbackResult
from inferry.types.lineage import Lineage
from inferry.types.registry import RevisionConfig
from inferry.types.rollout import Pause, RecordedDecision, Strategy
from inferry.types.scaling import Scaled, Scaling
from inferry.types.signature import Signature
from inferry.types.traffic import Mirror, MirrorReport, Sampling


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """The platform: its version, and where predictions go. `degraded`: its database does not take changes now."""

    version: str
    http: str
    degraded: bool = False


class Leader(msgspec.Struct, frozen=True, kw_only=True):
    """The control process that leads: in which epoch, since when (seconds since 1970), and who waits to take over
    (None: the database does not say)."""

    name: str
    epoch: int
    since: float
    standbys: tuple[str, ...] | None = None


class PlatformStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a platform is. `problem`: what is wrong with its database, empty when nothing is; `leader`: None over SQLite,
    where there is one control process; `ready` of the `revisions` that should run have all their replicas; `states`:
    how many are in which; `memory`: what models hold."""

    version: str
    http: str
    database: str
    problem: str = ""
    leader: Leader | None = None
    endpoints: int = 0
    revisions: int = 0
    ready: int = 0
    states: dict[str, int] = {}
    memory: MemoryStatus | None = None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model: how many versions it has and the newest one's number."""

    name: str
    versions: int
    latest: int
    created: float = 0.0


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas answer, how many should, and the processes of those that do."""

    ready: int
    wanted: int
    pids: tuple[int, ...] = ()


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a replica that nobody asked for."""

    at: float
    why: str


class EndpointInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint: what it serves, and whether it does. `state`: ready, asleep, starting or failing;
    `problem` says why it is failing or waits; `last_end`: how the last replica ended that nobody had asked to, of
    `deaths` in all since control began."""

    name: str
    model: str
    version: int
    revision: int
    replicas: Ready
    state: str
    problem: str | None = None
    last_end: End | None = None
    deaths: int = 0
    url: str
    updated: float = 0.0


class RevisionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A revision. `replaces` is the one before it, 0 for none."""

    number: int
    version: int
    config: RevisionConfig = RevisionConfig()
    replaces: int = 0
    created: float = 0.0
    created_by: str = ""


class RevisionScaling(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas of a revision are `ready` and `wanted`, and between which limits that varies (`scaling` None:
    it is fixed). `cold_start_s`: how long one takes to start. `waits`: why the next one waits for memory. `last`: the
    latest decision; `changes`: those that changed the number, the newest first. `ms`: how long it took to have one
    ready, where that was asked for."""

    endpoint: str
    revision: int
    version: int
    ready: int
    wanted: int
    scaling: Scaling | None = None
    cold_start_s: float = 0.0
    waits: str = ""
    last: Scaled | None = None
    changes: tuple[Scaled, ...] = ()
    ms: float = 0.0


class EndpointScaling(msgspec.Struct, frozen=True, kw_only=True):
    """The replicas of an endpoint's revisions that have a share of its requests."""

    endpoint: str
    revisions: tuple[RevisionScaling, ...]


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What came of converting a model to ONNX. `serves`: onnx or native, which then has a `reason`.

    Compared were `rows` rows; the `largest` difference of a number was in `where`, and all are within
    `atol + rtol * |native|`. `native_us`, `onnx_us`: microseconds of one prediction; `speed_up` is their ratio.
    """

    serves: str
    reason: str = ""
    runtime: str = ""
    converter: str = ""
    rows: int = 0
    largest: float = 0.0
    where: str = ""
    rtol: float = 0.0
    atol: float = 0.0
    native_us: float = 0.0
    onnx_us: float = 0.0
    speed_up: float = 0.0


class FellBack(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that returned to an earlier revision by itself, since the newer one crashed (`at`: Unix seconds)."""

    at: float
    from_revision: int
    to_revision: int
    why: str


class EndpointDetails(EndpointInfo, frozen=True, kw_only=True):
    """An endpoint with all that is known of it."""

    fell_back: FellBack | None = None
    runtime: str = ""
    conversion: Conversion | None = None
    signature: Signature
    example: Any = None
    traffic: dict[int, int] = {}
    revisions: tuple[RevisionInfo, ...] = ()
    curl: str = ""
    python: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a deploy: `state` is started, progress or done."""

    seq: int
    step: str
    state: str
    message: str = ""
    ms: float | None = None


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was made, or found because its bytes are the same."""

    model: str
    version: int
    new_version: bool = True
    runtime: str = ""
    bundle: str = ""
    lineage: Lineage = Lineage()
    conversion: Conversion | None = None
    signature: Signature
    example: Any = None
    answer: Any = None
    notes: tuple[str, ...] = ()
    timings: dict[str, float] = {}


class Deployed(Pushed, frozen=True, kw_only=True):
    """What a deploy made. `unchanged`: the same version already served with this configuration."""

    endpoint: str
    revision: int
    url: str
    rollout: bool = False
    unchanged: bool = False
    curl: str = ""
    python: str = ""


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint after a rollback or a change of scale."""

    endpoint: str
    version: int
    revision: int
    previous_revision: int
    url: str


class RevisionTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """A revision that runs: its share, and what the gateway counted of it since it started. `errors`: answers with
    a status of 500 and more; `mirror`: what came of copies, when it is a shadow."""

    revision: int
    version: int
    percent: int
    warm: bool
    requests: int
    errors: int
    p50_s: float
    p99_s: float
    mirror: MirrorReport | None = None


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint's requests are shared out. `key`: where a request's key is; `pins`: keys and their revisions;
    `sampling`: which answers are kept for feedback."""

    endpoint: str
    key: str
    pins: dict[str, int]
    mirror: Mirror | None
    revisions: tuple[RevisionTraffic, ...]
    sampling: Sampling = Sampling()


class FeedbackAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of feedback: how many items, and each one."""

    matched: int = 0
    waiting: int = 0
    repeated: int = 0
    replaced: int = 0
    refused: int = 0
    items: tuple[FeedbackResult, ...] = ()

    def plus(self, other: FeedbackAnswer) -> FeedbackAnswer:
        """Both together."""
        return FeedbackAnswer(
            matched=self.matched + other.matched,
            waiting=self.waiting + other.waiting,
            repeated=self.repeated + other.repeated,
            replaced=self.replaced + other.replaced,
            refused=self.refused + other.refused,
            items=self.items + other.items,
        )


class ExperimentInfo(ExperimentRecord, frozen=True, kw_only=True):
    """An experiment at an endpoint. `planned`: units that it needs, by what was expected (0: nothing was)."""

    planned: int = 0


class ExperimentDetails(ExperimentInfo, frozen=True, kw_only=True):
    """An experiment with what was seen of each variant."""

    seen: tuple[Seen, ...] = ()


class RolloutInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout of an endpoint from the revision `stable` to `canary`. `phase`: starting, baking, paused, promoted or
    aborted; `step` of `steps` (0: the canary is not ready yet); `weight`: the canary's percent; times: Unix seconds."""

    id: str
    endpoint: str
    stable: int
    canary: int
    phase: str
    step: int
    steps: int
    weight: int
    pause: Pause | None = None
    started: float
    since: float
    updated: float
    created_by: str
    ended_by: str
    reason: str

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.phase in {"promoted", "aborted"}


class RolloutDetails(RolloutInfo, frozen=True, kw_only=True):
    """A rollout with what its checks say now, and what was decided, with the evidence at the time."""

    strategy: Strategy
    readings: tuple[Reading, ...]
    decisions: tuple[RecordedDecision, ...]


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its secret. `expires` 0: never."""

    id: str
    name: str
    role: str
    endpoints: tuple[str, ...] = ("*",)
    created: float = 0.0
    expires: float = 0.0


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key just made: the only time that `key` is shown."""

    id: str
    name: str
    role: str
    key: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r}, name={self.name!r}, role={self.role!r}, key='inf_...')"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of `doctor`. `level`: ok, warn or fail."""

    name: str
    ok: bool
    level: str = "ok"
    detail: str = ""
    help: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All findings of `doctor`."""

    ok: bool
    checks: tuple[Check, ...] = ()


class RuntimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One runtime. `packages`: what the environments of its models are built of (none: the platform's own)."""

    name: str
    takes: str
    packages: tuple[str, ...] = ()
    ready: bool = True
    help: str = ""
    plugin: bool = False


class Runtimes(msgspec.Struct, frozen=True, kw_only=True):
    """All runtimes, and what the machine has to compute on, also in words."""

    runtimes: tuple[RuntimeInfo, ...]
    devices: Devices
    devices_words: str


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as its callers see it. `example` is a body that works."""

    name: str
    model: str
    version: int
    revision: int
    signature: Signature
    example: Any = None
    runtime: str = ""
    timeout_s: float = 30.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The plain door's whole answer: one element of `predictions` a row, or whatever an open model returned."""

    model: str
    version: int | str
    predictions: Any
    request_id: str = ""
