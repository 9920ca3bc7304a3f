"""Events: what a change is called when it is told. Pure: a change that is about to be written -> Events.

The data of an event holds what a receiver needs to decide, and the ids to ask for the rest.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.experiment import ExperimentRecord, Report
from inferry.types.jobs import Job
from inferry.types.pipeline import Run
from inferry.types.registry import Revision, Version
from inferry.types.repository import Repository
from inferry.types.rollout import Action, Decision, Rollout, RolloutRecord
from inferry.types.trials import Trial
from inferry.types.webhooks import Event

ROLLOUT: dict[Action, str] = {
    "advance": "rollout.step", "pause": "rollout.paused", "resume": "rollout.resumed", "abort": "rollout.aborted",
    "promote": "rollout.promoted",
}  # fmt: skip

JOB = {"succeeded": "job.succeeded", "dead": "job.failed", "cancelled": "job.cancelled"}


def registered(version: Version) -> Event:
    """A new version."""
    return _of_version(
        "version.registered", version.model, version.number, version.created,
        by=version.created_by, bundle=version.bundle, runtime=version.runtime, size=version.size,
        lineage=msgspec.to_builtins(version.lineage),
    )  # fmt: skip


def tried(trial: Trial) -> Event:
    """What came of a version's gates."""
    return _of_version(
        "version.passed" if trial.passed else "version.failed", trial.model, trial.version, trial.at,
        by=trial.by, test=trial.number, failed=list(trial.failed), report=trial.digest,
    )  # fmt: skip


def run_begun(run: Run, now: float) -> Event:
    """A version sets out on its ladder."""
    return _of_run("pipeline.begun", run, now, run.created_by)


def turned(before: Run, after: Run, now: float, by: str) -> tuple[Event, ...]:
    """What a turn of a run means to others."""
    if after.phase == before.phase:
        return ()
    told = []
    if before.phase == "smoke" and after.phase in ("queue", "name", "done"):
        told.append(_of_run("pipeline.stage.done", before, now, by))
    match after.phase:
        case "approval":
            told.append(_of_run("pipeline.stage.waiting", after, now, by))
        case "deploy":
            told.append(_of_run("pipeline.stage.begun", after, now, by))
        case "back":
            told.append(_of_run("pipeline.stage.failed", after, now, by))
        case "done":
            told.append(_of_run("pipeline.done", after, now, by))
        case "failed" | "superseded" | "canceled":
            told.append(_of_run("pipeline.stopped", after, now, by))
    return tuple(told)


def rollout_started(record: RolloutRecord) -> Event:
    """A rollout begins."""
    return _of_rollout("rollout.started", record.rollout, record.updated, record.created_by)


def decided(decision: Decision) -> tuple[Event, ...]:
    """What a rollout's decision means to others: nothing when it is to wait."""
    if decision.action not in ROLLOUT:
        return ()
    state = decision.rollout
    return (_of_rollout(ROLLOUT[decision.action], state, decision.at, decision.by, reason=decision.reason),)


def deployed(revision: Revision) -> Event:
    """An endpoint has a new revision."""
    return _of_endpoint(
        "endpoint.deployed", revision.endpoint, revision.created, by=revision.created_by, revision=revision.number,
        model=revision.model, version=revision.version,
    )  # fmt: skip


def rolled_back(current: Revision, target: Revision, now: float, by: str, reason: str = "") -> Event:
    """An endpoint has returned to an earlier revision; `reason`: why, where nobody asked for it."""
    return _of_endpoint(
        "endpoint.rolled-back", target.endpoint, now, by=by, revision=target.number, model=target.model,
        version=target.version, from_revision=current.number, from_version=current.version,
        **({"reason": reason} if reason else {}),
    )  # fmt: skip


def deleted(endpoint: str, now: float) -> Event:
    """An endpoint is no longer served."""
    return _of_endpoint("endpoint.deleted", endpoint, now)


def killed(endpoint: str, replica: str, why: str, now: float) -> Event:
    """The kernel ended a replica."""
    return _of_endpoint("endpoint.replica-killed", endpoint, now, replica=replica, why=why)


def experiment_started(record: ExperimentRecord) -> Event:
    """An experiment begins."""
    return _of_experiment("experiment.started", record, record.experiment.started, by=record.created_by)


def judged(record: ExperimentRecord, report: Report) -> tuple[Event, ...]:
    """What a new report means to others: nothing until its verdict is another one."""
    before = record.report.verdict if record.report is not None else "continue"
    if report.verdict in ("continue", before):
        return ()
    words = {"verdict": report.verdict, "winner": report.winner, "reason": report.reason}
    return (_of_experiment("experiment.decided", record, report.at, **words),)


def experiment_ended(record: ExperimentRecord, winner: int | None) -> Event:
    """Somebody ended an experiment."""
    winning = "" if winner is None else str(winner)
    return _of_experiment(
        "experiment.ended", record, record.ended, by=record.ended_by, reason=record.reason, winner=winning
    )


def looked(repository: Repository) -> Event:
    """What came of a repository's newest commit."""
    trouble = repository.trouble
    problems = [trouble] if trouble else list(repository.words)
    type = "gitops.failed" if trouble or repository.state != "synced" else "gitops.synced"
    data = {
        "repository": repository.url, "branch": repository.branch, "path": repository.path, "state": repository.state,
        "commit": repository.commit, "problems": problems, "versions": repository.versions,
    }  # fmt: skip
    at = repository.looked if trouble else repository.at
    return Event(type=type, subject=f"repository/{repository.branch}", at=at, data=data)


def test(hook: str, now: float, by: str) -> Event:
    """What shows that a webhook works."""
    return Event(type="webhook.test", subject=f"webhooks/{hook}", at=now, data={"webhook": hook, "by": by})


def job_ended(job: Job) -> Event:
    """A job has its end."""
    data = {
        "job": job.id, "endpoint": job.endpoint, "state": job.state, "begun": job.fence, "failures": job.failures,
        "idempotency_key": job.idem, "key": job.key, "expires": job.expires,
        "result": f"/jobs/{job.id}/result" if job.state == "succeeded" else "",
        "reason": msgspec.to_builtins(job.reason),
    }  # fmt: skip
    return Event(type=JOB[job.state], subject=f"endpoints/{job.endpoint}/jobs/{job.id}", at=job.ended, data=data)


def _of_version(type: str, model: str, number: int, at: float, **data: Any) -> Event:
    subject = f"models/{model}/versions/{number}"
    return Event(type=type, subject=subject, at=at, data={"model": model, "version": number, **data})


def _of_run(type: str, run: Run, at: float, by: str) -> Event:
    data = {
        "run": run.id, "model": run.model, "version": run.version, "phase": run.phase, "stage": run.stage + 1,
        "stages": len(run.pipeline.stages), "endpoint": run.endpoint, "revision": run.revision, "reason": run.reason,
        "by": by,
    }  # fmt: skip
    return Event(type=type, subject=f"models/{run.model}/runs/{run.id}", at=at, data=data)


def _of_rollout(type: str, state: Rollout, at: float, by: str, reason: str = "") -> Event:
    data = {
        "rollout": state.id, "endpoint": state.endpoint, "stable": state.stable, "canary": state.canary,
        "phase": state.phase, "step": state.step + 1, "weight": state.weight, "reason": reason, "by": by,
    }  # fmt: skip
    return Event(type=type, subject=f"endpoints/{state.endpoint}/rollouts/{state.id}", at=at, data=data)


def _of_endpoint(type: str, endpoint: str, at: float, **data: Any) -> Event:
    return Event(type=type, subject=f"endpoints/{endpoint}", at=at, data={"endpoint": endpoint, **data})


def _of_experiment(type: str, record: ExperimentRecord, at: float, **data: Any) -> Event:
    subject = f"endpoints/{record.endpoint}/experiments/{record.id}"
    known = {"experiment": record.id, "endpoint": record.endpoint, "metric": record.experiment.metric}
    return Event(type=type, subject=subject, at=at, data=known | data)
