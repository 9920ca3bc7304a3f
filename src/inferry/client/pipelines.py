"""Flows of projects and pipelines: plan and apply, look at runs, and say what is wanted of them."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

import msgspec

from inferry.client.pipeline_answers import Applied, Planned, RunDetails, RunInfo
from inferry.client.session import Session, call, get
from inferry.client.wire import Flow, read
from inferry.errors import NotFound
from inferry.types.names import check_name
from inferry.types.project import Project


class _Runs(msgspec.Struct):
    runs: list[RunInfo]


def plan_project(session: Session, project: Project, *, prune: bool = False) -> Flow[Planned]:
    """What applying a project would change, and what keeps it from being applied. Changes nothing."""
    body = _body(project, prune=prune)
    return read((yield from call(session, "POST", "/v1/project/plan", body)), Planned)


def apply_project(session: Session, project: Project, *, prune: bool = False) -> Flow[Applied]:
    """Want a project from now on. Returns at once; `project` says how it goes.

    `prune`: endpoints that an earlier project declared, and this one does not, are deleted.
    """
    return read((yield from call(session, "PUT", "/v1/project", _body(project, prune=prune))), Applied)


def project(session: Session) -> Flow[Applied]:
    """The project that was applied last, and what differs from it."""
    return (yield from get(session, "/v1/project", Applied))


def runs(session: Session, model: str = "") -> Flow[list[RunInfo]]:
    """The latest runs of a model's pipeline, or of all, oldest first."""
    query = f"?model={check_name(model, 'model name')}" if model else ""
    return (yield from get(session, f"/v1/runs{query}", _Runs)).runs


def run(session: Session, model: str, *, id: str = "", after: int = 0) -> Flow[RunDetails]:
    """A model's run, the latest or the one of that id, with its events behind number `after`."""
    if not id:
        id = (yield from _latest(session, model)).id
    return (yield from get(session, f"/v1/runs/{quote(id, safe='')}?after={int(after)}", RunDetails))


def start_run(session: Session, model: str, version: int) -> Flow[RunInfo]:
    """Send a version that is there up the ladder of its model's pipeline."""
    path = f"/v1/models/{check_name(model, 'model name')}/runs"
    return read((yield from call(session, "POST", path, {"version": version})), RunInfo)


def act_on_run(
    session: Session, model: str, kind: Literal["approve", "cancel"], *, id: str = "", reason: str = ""
) -> Flow[RunInfo]:
    """Approve or cancel a model's run: the latest that has not ended, or the one of that id."""
    if not id:
        open_runs = [found for found in (yield from runs(session, model)) if not found.ended]
        waiting = [found for found in open_runs if kind == "cancel" or found.phase == "approval"]
        found = (waiting or open_runs)[-1:]
        if not found:
            raise NotFound(f"No run of {model!r} is under way.", help=f"inferry pipeline list {model}")
        id = found[0].id
    path = f"/v1/runs/{quote(id, safe='')}/{kind}"
    return read((yield from call(session, "POST", path, {"reason": reason})), RunInfo)


def _latest(session: Session, model: str) -> Flow[RunInfo]:
    found = yield from runs(session, model)
    if not found:
        raise NotFound(f"There was no run of {model!r}.", help=f"Push a version: inferry push PATH --name {model}")
    return found[-1]


def _body(project: Project, *, prune: bool) -> dict[str, Any]:
    sent = msgspec.structs.replace(project, gates=None)
    return {"project": msgspec.to_builtins(sent, str_keys=True), "prune": prune}
