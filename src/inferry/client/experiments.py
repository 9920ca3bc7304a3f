"""Flows of experiments: begin one, look at it, end it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from inferry.client.answers import ExperimentDetails, ExperimentInfo
from inferry.client.session import SWITCH_S, Session, call, endpoint_path, get
from inferry.client.wire import Flow, read
from inferry.errors import NotFound
from inferry.types.names import check_name


class _Experiments(msgspec.Struct):
    experiments: list[ExperimentInfo]


def begin_experiment(
    session: Session,
    endpoint: str,
    variants: Mapping[int, int],
    metric: str,
    min_effect: float,
    *,
    kind: Literal["share", "mean"] = "share",
    better: Literal["higher", "lower"] = "higher",
    alpha: float = 0.05,
    power: float = 0.8,
    expected: float | None = None,
    deviation: float | None = None,
    min_s: float = 0.0,
) -> Flow[ExperimentInfo]:
    """Compare revisions by a metric of their feedback, until one is better by `min_effect` or none can be.

    `variants`: percents by revision that sum to 100, the control first; they hold while it runs. `kind` share: the
    outcome of a unit is 0 or 1; mean: any number. `alpha`: the chance of a wrong winner, however often one looks.
    `expected`, `deviation`: of the control, to plan with. `min_s`: seconds that it runs at least.
    """
    body: dict[str, Any] = {
        "variants": {str(number): weight for number, weight in variants.items()}, "metric": metric,
        "min_effect": min_effect, "kind": kind, "better": better, "alpha": alpha, "power": power,
        "expected": expected, "deviation": deviation, "min_s": min_s,
    }  # fmt: skip
    path = endpoint_path(endpoint) + "/experiments"
    return read((yield from call(session, "POST", path, body, timeout=SWITCH_S)), ExperimentInfo)


def experiments(session: Session, endpoint: str = "") -> Flow[list[ExperimentInfo]]:
    """The latest experiments at an endpoint, or at all, oldest first."""
    query = f"?endpoint={check_name(endpoint, 'endpoint name')}" if endpoint else ""
    return (yield from get(session, f"/v1/experiments{query}", _Experiments)).experiments


def experiment(session: Session, endpoint: str, *, id: str = "") -> Flow[ExperimentDetails]:
    """An endpoint's experiment, the latest or the one of that id, looked at now."""
    if not id:
        found = yield from experiments(session, endpoint)
        if not found:
            raise NotFound(
                f"There was no experiment at {endpoint!r}.", help=f"inferry experiment start {endpoint} --help"
            )
        id = found[-1].id
    return (yield from get(session, f"/v1/experiments/{quote(id, safe='')}", ExperimentDetails))


def end_experiment(
    session: Session, endpoint: str, *, winner: int | None = None, reason: str = ""
) -> Flow[ExperimentInfo]:
    """End the experiment under way; `winner` gets all traffic, without one the shares stay as they are."""
    body = {"winner": winner, "reason": reason}
    path = f"{endpoint_path(endpoint)}/experiment/stop"
    return read((yield from call(session, "POST", path, body, timeout=SWITCH_S)), ExperimentInfo)
