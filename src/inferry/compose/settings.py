"""Settings: one frozen object a process, handed over as JSON on its command line.

Nothing below `compose` reads the environment; what a process needs of it is in here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from inferry.errors import InvalidInput
from inferry.types.units import EXAMPLES, parse

READY = b"ready"
"""What a process says on its pipe when it can serve."""
JOBS_KEPT = b"ready; there are jobs"
"""What control says when it can serve, and the jobs process has something to do."""
STEPPED_DOWN = 75
"""The exit code of a control process that leads no longer."""
ASLEEP = 76
"""The exit code of a jobs process that has nothing to do: it is started when somebody asks for it."""

MAX_BODY = 64 << 20
MAX_UPLOAD = 16 << 30
MAX_LIMIT_S = 86_400.0
SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
GATEWAY_LIMITS = {"INFERRY_HEAD_TIMEOUT": "head_timeout_s", "INFERRY_BODY_TIMEOUT": "body_timeout_s"}
CONTROL_COUNTS = {"INFERRY_BLOBS_CACHE_MB": "blobs_cache_mb"}
JOBS_COUNTS = {"INFERRY_JOBS_MAX": "most_jobs", "INFERRY_JOBS_MAX_BYTES": "most_bytes"}
LEAST_BUDGET = 32_000_000
COUNT = re.compile(r"[1-9][0-9]{0,14}")
CONTROL_LIMITS = {
    "INFERRY_INSPECT_TIMEOUT": "inspect_timeout_s",
    "INFERRY_RAY_PLACE_TIMEOUT": "ray_place_s",
    "INFERRY_LEASE": "lease_s",
}
BACKENDS = ("local", "ray")


class Layout:
    """The files of INFERRY_HOME and of one run."""

    def __init__(self, home: Path, run: Path) -> None:
        self.home = home
        self.run = run
        self.database = home / "inferry.db"
        self.database_name = home / "database"
        self.bundles = home / "bundles"
        self.platform_id = home / "platform"
        self.environments = home / "envs"
        self.cache = home / "cache"
        self.logs = home / "logs"
        self.staging = home / "staging"
        self.admin_key = home / "admin.key"
        self.jobs_key = home / "jobs.key"
        self.jobs = home / "jobs"
        self.pepper = home / "pepper"
        self.addresses = home / "addresses.json"
        self.lock = home / "lock"
        self.authority = home / "tls"
        self.identity = run / "gateway.tls"
        self.placed = home / "placed"
        self.shared = home / "shared"
        self.table = run / "table.json"
        self.epoch = run / "epoch"
        self.jobs_socket = run / "jobs.sock"

    def gateway_socket(self, number: int) -> Path:
        """Where control speaks to a gateway (the first is 1)."""
        return self.run / f"gateway-{number}.sock"

    def peer_socket(self, number: int) -> Path:
        """Where a gateway tells the others what it counted."""
        return self.run / f"peer-{number}.sock"


def gateway_name(number: int) -> str:
    """What the process and the log of a gateway are called."""
    return "gateway" if number == 1 else f"gateway-{number}"


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway process. `listener`, `grpc`, `lifeline` and `ready` are inherited descriptors; `number`: which of the
    `gateways` that serve the same ports (the first is 1); `log`: the name of its log."""

    home: str
    run: str
    listener: int
    grpc: int
    lifeline: int
    ready: int
    number: int = 1
    gateways: int = 1
    log: str = "gateway"
    max_body: int = MAX_BODY
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 75.0
    drain_s: float = 30.0


class ControlSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A control process. `variables` is the part of the environment that children and pip settings need;
    `database` a descriptor to read the database's URL from, which is empty for SQLite in the home; `ray`: the address
    of the Ray cluster on which replicas run, empty for this machine. `lease_s`: how long it leads without having
    renewed that; `log`: the name of its log; `waits`: it is there to take over, so it is ready when it waits;
    `standbys`: how many of those there are; `gateways`: how many there are; `blobs`: where bundles are kept, empty for
    the home; `memory_budget`: what all models together may take, in bytes (0: a share of what there is)."""

    home: str
    run: str
    http: str
    listener: int
    lifeline: int
    ready: int
    database: int
    variables: dict[str, str]
    hosts: tuple[str, ...] = ()
    max_upload: int = MAX_UPLOAD
    inspect_timeout_s: float = 120.0
    ray: str = ""
    ray_place_s: float = 30.0
    lease_s: float = 10.0
    log: str = "control"
    waits: bool = False
    standbys: int = 0
    gateways: int = 1
    blobs: str = ""
    blobs_cache_mb: int = 20_480
    memory_budget: int = 0


class JobsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs process. `http`: the gateway; `listener`: the private socket, inherited; `database`: a descriptor, as
    control's; `most_jobs`, `most_bytes`: what the queue may hold."""

    home: str
    run: str
    http: str
    listener: int
    lifeline: int
    ready: int
    database: int
    most_jobs: int = 100_000
    most_bytes: int = 8 << 30


def choose_ray(backend: str, address: str, variables: Mapping[str, str]) -> str:
    """The address of the Ray cluster for a choice of backend, empty for this machine. Raises InvalidInput.

    INFERRY_BACKEND and RAY_ADDRESS stand in for what is not given; `auto`: the cluster that this machine is a node of.
    """
    chosen = backend or variables.get("INFERRY_BACKEND", "") or ("ray" if address else "local")
    if chosen not in BACKENDS:
        raise InvalidInput(f"There is no backend {chosen[:40]!a}.", help=f"Use one of {', '.join(BACKENDS)}.")
    if chosen == "local":
        if address:
            raise InvalidInput("A Ray address does not go with the backend local.", help="Use --backend ray.")
        return ""
    return address or variables.get("RAY_ADDRESS", "") or "auto"


def read_budget(text: str) -> int:
    """A memory budget as people write it, such as 8GB, in bytes; 0 when nothing is said. Raises InvalidInput."""
    if not text:
        return 0
    try:
        size = int(parse(text, "megabytes") * 1e6)
    except ValueError as error:
        raise InvalidInput(f"{text[:40]!a} is not an amount of memory.", help=EXAMPLES["megabytes"]) from error
    if size < LEAST_BUDGET:
        raise InvalidInput(
            f"{text[:40]!a} is too little: one small model takes 20 MB.", help="Give models 64MB or more."
        )
    return size


def read_counts(variables: Mapping[str, str], known: Mapping[str, str]) -> dict[str, int]:
    """Setting -> a whole number over 0, for each environment variable of `known` that is set. Raises InvalidInput."""
    counts = {}
    for variable, setting in known.items():
        text = variables.get(variable, "")
        if text:
            if not COUNT.fullmatch(text):
                raise InvalidInput(f"{variable} is {text[:40]!a}, not a whole number.", help="Set it to 1 or more.")
            counts[setting] = int(text)
    return counts


def read_limits(variables: Mapping[str, str], known: Mapping[str, str]) -> dict[str, float]:
    """Setting -> seconds, for each environment variable of `known` that is set. Raises InvalidInput."""
    limits = {}
    for variable, setting in known.items():
        text = variables.get(variable, "")
        if text:
            if not SECONDS.fullmatch(text) or not 0 < float(text) <= MAX_LIMIT_S:
                raise InvalidInput(
                    f"{variable} is {text[:40]!a}, not a number of seconds.", help="Set it to over 0, or unset it."
                )
            limits[setting] = float(text)
    return limits
