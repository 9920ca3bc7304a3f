"""Retention: which versions of a model may go. Pure.

Data flow: all that holds a version, and a rule -> a verdict for each version, with its reason.

Whatever the rule says, these stay: what runs (with a share of traffic, warm, pinned to or mirrored to), what a rollout
under way names, what an endpoint can be rolled back to, what an alias names, and what is protected.
"""

from __future__ import annotations

from collections.abc import Iterator

from inferry.errors import InvalidInput
from inferry.types.registry import Revision
from inferry.types.retention import Holder, Retention, Stand, Verdict

MAX_KEEP = 100_000
MAX_S = 100 * 365 * 86_400.0


def check_rule(rule: Retention) -> Retention:
    """The rule, when it can be followed. Raises InvalidInput."""
    if not 1 <= rule.keep <= MAX_KEEP:
        raise InvalidInput(f"{rule.keep} versions cannot be kept.", help=f"Keep 1 to {MAX_KEEP}.")
    if not (0 <= rule.older_than_s <= MAX_S and 0 <= rule.rollback_s <= MAX_S):
        raise InvalidInput("That is no usable time.", help="Give 0 s to 100 years.")
    return rule


def sort_out(stand: Stand, rule: Retention, now: float) -> tuple[Verdict, ...]:
    """A verdict for every version, oldest first."""
    held = _held(stand, rule, now)
    newest = set(sorted(stand.versions, reverse=True)[: rule.keep])
    verdicts = []
    for number in sorted(stand.versions):
        reason = held.get(number, "")
        if not reason and number in newest:
            reason = f"is one of the {rule.keep} newest"
        if not reason and now - stand.versions[number] < rule.older_than_s:
            reason = "is not old enough"
        verdicts.append(Verdict(number=number, removed=not reason, reason=reason or "nothing needs it"))
    return tuple(verdicts)


def removable(stand: Stand, rule: Retention, now: float) -> set[int]:
    """The versions that go."""
    return {verdict.number for verdict in sort_out(stand, rule, now) if verdict.removed}


def _held(stand: Stand, rule: Retention, now: float) -> dict[int, str]:
    """Why each of the versions that must stay does, by number; the strongest reason."""
    reasons: dict[int, str] = {}
    for holder in stand.holders:
        for revision, reason in _needed(holder, rule, now):
            reasons.setdefault(revision.version, f"{reason} {holder.endpoint.name}")
    for number, names in stand.aliases.items():
        reasons.setdefault(number, f"is called {', '.join(names)}")
    for number in stand.protected:
        reasons.setdefault(number, "is protected")
    return reasons


def _needed(holder: Holder, rule: Retention, now: float) -> Iterator[tuple[Revision, str]]:
    """The revisions of an endpoint that must stay, the strongest reasons first."""
    known = {revision.number: revision for revision in holder.revisions}
    running = holder.endpoint.running | {*holder.endpoint.traffic}
    yield from ((known[number], "runs at") for number in sorted(running & known.keys()))
    yield from ((known[number], "is part of a rollout of") for number in sorted(holder.rolling & known.keys()))
    before = {known[number].replaces for number in running | holder.rolling if number in known}
    recent = {
        revision.number
        for revision in holder.revisions
        if now - max(revision.stopped, revision.created) < rule.rollback_s
    }
    back = (before | recent) & known.keys()
    yield from ((known[number], "can be gone back to at") for number in sorted(back))
