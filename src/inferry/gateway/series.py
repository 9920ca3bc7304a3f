"""Series: how the gateway's metrics are named: by endpoint, model, revision and door."""

from __future__ import annotations

from inferry.telemetry.metrics import Labels, Metrics, Series
from inferry.types import frames
from inferry.types.routing import EndpointRoute, RevisionRoute

DOOR_NAMES = {
    frames.DOOR_OIP: "oip",
    frames.DOOR_PLAIN: "plain",
    frames.DOOR_GRPC: "oip-grpc",
    frames.DOOR_PREDICT: "tfs",
    frames.DOOR_CLASSIFY: "tfs-classify",
    frames.DOOR_REGRESS: "tfs-regress",
    frames.DOOR_MLFLOW: "mlflow",
    frames.DOOR_MLFLOW_CSV: "mlflow-csv",
    frames.DOOR_TFS: "tfs-grpc",
}


def labels_of(endpoint: EndpointRoute, plan: RevisionRoute) -> Labels:
    """What the metrics of a revision are found by; a door is added to that."""
    return (
        ("endpoint", endpoint.name),
        ("model", f"{endpoint.model}:{plan.version}"),
        ("revision", str(plan.number)),
    )


class DoorSeries(dict[int, Series]):
    """A revision's metrics by door, made when a door is first used."""

    def __init__(self, metrics: Metrics, labels: Labels) -> None:
        super().__init__()
        self._metrics = metrics
        self._labels = labels

    def __missing__(self, door: int) -> Series:
        made = self[door] = self._metrics.get((*self._labels, ("door", DOOR_NAMES[door])))
        return made
