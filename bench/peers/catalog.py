"""Who takes part: how each peer is set up, which models it serves, and how it is asked.

A variant is one way to set a peer up ("mosec_b": Mosec with batching); it serves some models, each
through one or more doors (a path and a form). The first variant of a model is the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.peers import starts, wire
from bench.peers.starts import Start

BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Door:
    """One way to ask: where, in which form; `name` tells it from the variant's other doors in the tables."""

    path: str
    form: wire.Form
    name: str = ""


Doors = dict[tuple[str, str], list[Door]]
"""(model, encoding) -> doors."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to set a peer up. `loud`: it burns CPU while nobody asks, so it runs apart from the others."""

    name: str
    peer: str
    title: str
    start: Start
    doors: Doors
    batch: int = 1
    loud: bool = False
    grpc: bool = False

    def serves(self, model: str) -> bool:
        return any(name == model for name, _ in self.doors)


def _json_doors(path: str, form: wire.Form, *models: str) -> Doors:
    return {(model, "json"): [Door(path=path, form=form)] for model in models}


_OIP = "/v2/models/m/infer"
_TRITON_DOORS: Doors = {
    **_json_doors(_OIP, wire.oip, "tiny", "mlp"),
    ("mlp", "binary"): [Door(path=_OIP, form=wire.oip_binary)],
    ("image", "binary"): [Door(path=_OIP, form=wire.oip_binary)],
}
_BINARY = {"BENCH_BINARY": "1"}

VARIANTS: tuple[Variant, ...] = (
    Variant(
        name="fastapi", peer="fastapi", title="FastAPI, as documented", start=starts.uvicorn("fastapi_app"),
        doors={
            **_json_doors("/predict", wire.rows, "tiny", "mlp"),
            ("mlp", "binary"): [Door(path="/predict", form=wire.rows, name="JSON")],
            ("image", "binary"): [Door(path="/image", form=wire.upload, name="upload")],
        },
    ),
    Variant(
        name="fastapi", peer="table", title="FastAPI, as documented", start=starts.uvicorn("fastapi_table_app"),
        doors=_json_doors("/predict", wire.records, "table"),
    ),
    Variant(
        name="fastapi_raw", peer="fastapi_raw", title="FastAPI, raw", start=starts.uvicorn("fastapi_raw_app"),
        doors={
            **_json_doors("/predict", wire.rows, "tiny", "mlp"),
            ("mlp", "binary"): [Door(path="/binary", form=wire.raw)],
            ("image", "binary"): [Door(path="/image", form=wire.raw)],
        },
    ),
    Variant(name="triton", peer="triton", title="Triton", start=starts.triton, doors=_TRITON_DOORS, grpc=True),
    Variant(
        name="triton_b", peer="triton", title="Triton, batching", start=starts.triton, batch=BATCH,
        doors={key: doors for key, doors in _TRITON_DOORS.items() if key[0] == "mlp"},
    ),
    Variant(
        name="mosec", peer="mosec", title="Mosec", start=starts.mosec(),
        doors=_json_doors("/inference", wire.rows, "tiny", "mlp"),
    ),
    Variant(
        name="mosec_b", peer="mosec", title="Mosec, batching", start=starts.mosec(), batch=BATCH,
        doors=_json_doors("/inference", wire.rows, "mlp"),
    ),
    Variant(
        name="mosec_bin", peer="mosec", title="Mosec, bytes", start=starts.mosec(_BINARY),
        doors={("image", "binary"): [Door(path="/inference", form=wire.raw)]},
    ),
    Variant(
        name="mosec_b_bin", peer="mosec", title="Mosec, bytes, batching", start=starts.mosec(_BINARY), batch=BATCH,
        doors={("mlp", "binary"): [Door(path="/inference", form=wire.raw)]},
    ),
    Variant(
        name="litserve", peer="litserve", title="LitServe", start=starts.script("litserve_app"),
        doors=_json_doors("/predict", wire.rows, "tiny"),
    ),
    Variant(
        name="litserve_b", peer="litserve", title="LitServe, batching", start=starts.script("litserve_app"),
        doors=_json_doors("/predict", wire.rows, "mlp"), batch=BATCH, loud=True,
    ),
    Variant(
        name="litserve", peer="litserve", title="LitServe", start=starts.script("litserve_app", _BINARY),
        doors={("image", "binary"): [Door(path="/predict", form=wire.upload, name="upload")]},
    ),
    Variant(
        name="bentoml", peer="bentoml", title="BentoML", start=starts.bentoml,
        doors={
            **_json_doors("/predict", wire.rows, "tiny"),
            ("image", "binary"): [Door(path="/image", form=wire.upload, name="upload")],
        },
    ),
    Variant(
        name="bentoml_b", peer="bentoml", title="BentoML, batching", start=starts.bentoml, batch=BATCH,
        doors=_json_doors("/predict", wire.rows, "mlp"),
    ),
    Variant(
        name="mlserver", peer="mlserver", title="MLServer", start=starts.mlserver,
        doors={
            **_json_doors(_OIP, wire.oip, "tiny"),
            ("image", "binary"): [Door(path=_OIP, form=wire.oip, name="JSON, has no binary")],
        },
    ),
    Variant(
        name="mlserver_b", peer="mlserver", title="MLServer, batching", start=starts.mlserver, batch=BATCH,
        doors=_json_doors(_OIP, wire.oip, "mlp"),
    ),
    Variant(
        name="kserve", peer="kserve", title="KServe", start=starts.script("kserve_app"),
        doors={
            **_json_doors(_OIP, wire.oip, "tiny", "mlp"),
            ("mlp", "binary"): [Door(path=_OIP, form=wire.oip_binary)],
            ("image", "binary"): [Door(path=_OIP, form=wire.oip_binary)],
        },
    ),
    Variant(
        name="mlflow", peer="mlflow", title="MLflow", start=starts.mlflow,
        doors={
            **_json_doors("/invocations", wire.rows, "tiny", "mlp"),
            ("image", "binary"): [Door(path="/invocations", form=wire.rows, name="JSON, has no binary")],
        },
    ),
    Variant(
        name="ray", peer="ray", title="Ray Serve", start=starts.script("ray_app"), loud=True,
        doors={
            **_json_doors("/", wire.rows, "tiny"),
            ("image", "binary"): [Door(path="/", form=wire.raw)],
        },
    ),
    Variant(
        name="ray_b", peer="ray", title="Ray Serve, batching", start=starts.script("ray_app"), batch=BATCH, loud=True,
        doors=_json_doors("/", wire.rows, "mlp"),
    ),
)  # fmt: skip
