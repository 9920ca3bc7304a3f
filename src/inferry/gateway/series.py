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
    frames.DOOR_FILE: "file",
    frames.DOOR_FORM: "form",
    frames.DOOR_CSV: "csv",
    frames.DOOR_PREDICTIONS: "torchserve",
    frames.DOOR_SCORE: "azureml",
    frames.DOOR_HANDLER: "huggingface",
    frames.DOOR_INVOKE: "sagemaker",
    frames.DOOR_CHAT: "openai-chat",
    frames.DOOR_COMPLETIONS: "openai-completions",
    frames.DOOR_EMBEDDINGS: "openai-embeddings",
}


def labels_of(endpoint: EndpointRoute, plan: RevisionRoute) -> Labels:
    """What the metrics of a revision are found by; a door is added to that."""
    return (
        ("endpoint", endpoint.name),
        ("model", f"{endpoint.model}:{plan.version}"),
        ("revision", str(plan.number)),
    )


class DoorSeries(dict[int, Series]):
    """A revision's metrics by door: those that were used before, others when their door is first used."""

    def __init__(self, metrics: Metrics, labels: Labels) -> None:
        known = {door: metrics.series.get((*labels, ("door", name))) for door, name in DOOR_NAMES.items()}
        super().__init__({door: series for door, series in known.items() if series is not None})
        self.labels = labels
        self._metrics = metrics

    def __missing__(self, door: int) -> Series:
        made = self[door] = self._metrics.get((*self.labels, ("door", DOOR_NAMES[door])))
        return made
