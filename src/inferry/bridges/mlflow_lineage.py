"""What MLflow knows of where a version comes from, in our words. Pure.

Data flow: server + registered version + its run -> Lineage, with what does not fit our rules left out.
"""

from __future__ import annotations

import math
from urllib.parse import urlsplit, urlunsplit

from inferry.bridges.mlflow_rest import Measured, Registered, Training, shown
from inferry.policy.lineage import WORD
from inferry.types.lineage import Lineage

SERVER, VERSION = "mlflow.server", "mlflow.version"
"""The labels by which a version is found again."""
MOST_METRICS = 40
MOST_TAGS = 16
MOST_TEXT = 120


def lineage_of(server: str, found: Registered, training: Training | None) -> Lineage:
    """Run, commit, data and metrics of a version, and labels that say which one it is. It may have no run."""
    training = training or Training()
    tags = {tag.key: shown(tag.value)[:MOST_TEXT] for tag in training.tags}
    data = " ".join(f"{shown(name)[:40]}@{shown(digest)[:64]}" for name, digest in training.data[:8])
    own = {tag.key: shown(tag.value)[:MOST_TEXT] for tag in found.tags if WORD.fullmatch(tag.key)}
    labels = dict(sorted(own.items())[:MOST_TAGS]) | {SERVER: server, VERSION: reference(found)}
    user = tags.get("mlflow.user", "")
    return Lineage(
        commit=tags.get("mlflow.source.git.commit", ""),
        branch=tags.get("mlflow.source.git.branch", ""),
        remote=_without_user(tags.get("mlflow.source.git.repoURL", "")),
        dirty=tags.get("mlflow.source.git.dirty", "").lower() == "true",
        run=shown(found.run_id),
        data=f"mlflow:{data}" if data else "",
        message=shown(found.description)[:MOST_TEXT],
        labels=labels | ({"mlflow.user": user} if user else {}),
        metrics=dict([pair for one in training.metrics if (pair := _metric(one))][:MOST_METRICS]),
    )


def reference(found: Registered) -> str:
    """`fraud/3`."""
    return f"{shown(found.name)[:MOST_TEXT]}/{shown(found.version)}"


def is_of(labels: dict[str, str], server: str, found: Registered) -> bool:
    """Whether a version with these labels was made of it."""
    return labels.get(SERVER) == server and labels.get(VERSION) == reference(found)


def _metric(one: Measured) -> tuple[str, float] | None:
    name = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_./-") else "_" for sign in one.key)[:63]
    if not WORD.fullmatch(name) or not isinstance(one.value, (int, float)) or not math.isfinite(one.value):
        return None
    return name, float(one.value)


def _without_user(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "://" in url else url
