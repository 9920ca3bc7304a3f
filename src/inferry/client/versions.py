"""Flows of models, versions and aliases."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import msgspec

from inferry.client.answers import ModelInfo
from inferry.client.session import SWITCH_S, Session, call, get, version_path
from inferry.client.version_answers import Aliases, MoveInfo, Pruned, RetentionInfo, VersionDetails, VersionInfo
from inferry.client.wire import Flow, Request, read, send
from inferry.types.diff import VersionDiff
from inferry.types.names import check_name
from inferry.types.retention import Retention
from inferry.types.trials import Report, Trial


class _Models(msgspec.Struct):
    models: list[ModelInfo]


class _Versions(msgspec.Struct):
    versions: list[VersionInfo]


class _Tests(msgspec.Struct):
    tests: list[Trial]


def models(session: Session) -> Flow[list[ModelInfo]]:
    """All models, by name."""
    return (yield from get(session, "/v1/models", _Models)).models


def versions(session: Session, model: str) -> Flow[list[VersionInfo]]:
    """All versions of a model, oldest first."""
    return (yield from get(session, f"/v1/models/{check_name(model)}/versions", _Versions)).versions


def version(session: Session, model: str, number: int | str) -> Flow[VersionDetails]:
    """One version with its manifest, by its number or an alias."""
    return (yield from get(session, version_path(model, number), VersionDetails))


def fetch_bundle(session: Session, model: str, number: int | str, into: Path) -> Flow[Path]:
    """The bundle of a version as a tar file, in the folder `into`."""
    target = into / "bundle.tar"
    request = Request(
        method="GET",
        url=f"{session.control}{version_path(model, number)}/bundle",
        headers=session.headers,
        timeout=SWITCH_S,
        repeatable=True,
        into=target,
    )
    yield from send(request, session.retries)
    return target


def keep_test(session: Session, model: str, number: int | str, report: Report) -> Flow[Trial]:
    """Keep what came of a version's gates with the version."""
    return read((yield from call(session, "POST", version_path(model, number) + "/tests", report)), Trial)


def tests(session: Session, model: str, number: int | str) -> Flow[list[Trial]]:
    """The tests of a version, oldest first."""
    return (yield from get(session, version_path(model, number) + "/tests", _Tests)).tests


def test_report(session: Session, model: str, test: int) -> Flow[Report]:
    """The report of one of a model's tests."""
    return (yield from get(session, f"/v1/models/{check_name(model, 'model name')}/tests/{int(test)}", Report))


def delete_version(session: Session, model: str, number: int | str) -> Flow[None]:
    """Remove a version that no endpoint uses and no alias names. Its number is never given again."""
    yield from call(session, "DELETE", version_path(model, number))


def delete_model(session: Session, model: str) -> Flow[None]:
    """Remove a model with its versions and aliases, when no endpoint uses one."""
    yield from call(session, "DELETE", f"/v1/models/{check_name(model)}")


def diff(session: Session, before: str, after: str) -> Flow[VersionDiff]:
    """In what two versions differ: `diff("fraud:3", "fraud@champion")`."""
    return (yield from get(session, f"/v1/diff?{urlencode({'from': before, 'to': after})}", VersionDiff))


def protect(session: Session, model: str, number: int | str, *, reason: str = "") -> Flow[VersionDetails]:
    """Let a version not be removed until that is lifted."""
    path = version_path(model, number) + "/protection"
    return read((yield from call(session, "PUT", path, {"reason": reason})), VersionDetails)


def unprotect(session: Session, model: str, number: int | str) -> Flow[VersionDetails]:
    """Lift a version's protection."""
    return read((yield from call(session, "DELETE", version_path(model, number) + "/protection")), VersionDetails)


def prune(session: Session, model: str, rule: Retention | None = None, *, dry_run: bool = False) -> Flow[Pruned]:
    """Remove the versions that a rule lets go; None: the model's own rule, or else the default one.

    Whatever the rule says, what runs, what can be rolled back to, what an alias names and what is protected stays.
    """
    path = f"/v1/models/{check_name(model, 'model name')}/prune"
    return read((yield from call(session, "POST", path, {"rule": rule, "dry_run": dry_run})), Pruned)


def retention(session: Session, model: str) -> Flow[RetentionInfo]:
    """The rule by which a model's old versions go."""
    return (yield from get(session, _retention_path(model), RetentionInfo))


def set_retention(session: Session, model: str, rule: Retention) -> Flow[RetentionInfo]:
    """Let a model's old versions go by a rule, every hour."""
    return read((yield from call(session, "PUT", _retention_path(model), rule)), RetentionInfo)


def delete_retention(session: Session, model: str) -> Flow[None]:
    """Let no version go by itself any more."""
    yield from call(session, "DELETE", _retention_path(model))


def _retention_path(model: str) -> str:
    return f"/v1/models/{check_name(model, 'model name')}/retention"


def aliases(session: Session, model: str) -> Flow[Aliases]:
    """A model's aliases, and all their moves."""
    return (yield from get(session, f"/v1/models/{check_name(model, 'model name')}/aliases", Aliases))


def move_alias(
    session: Session, model: str, alias: str, number: int | str, *, expected: int | None = None
) -> Flow[MoveInfo]:
    """Point an alias at a version, in one step. `expected`: only if it points at this one now (0: at none)."""
    body = {"version": number, "expected": expected}
    return read((yield from call(session, "PUT", _alias_path(model, alias), body)), MoveInfo)


def delete_alias(session: Session, model: str, alias: str) -> Flow[None]:
    """Forget an alias; its history stays."""
    yield from call(session, "DELETE", _alias_path(model, alias))


def _alias_path(model: str, alias: str) -> str:
    return f"/v1/models/{check_name(model, 'model name')}/aliases/{check_name(alias, 'alias')}"
