"""Schedule: other limits of scaling at certain times. Pure: the time is given.

Data flow: words of a person -> `read` -> Schedule -> with a moment (Unix seconds) -> `holding`: the Scaling that holds
then, why, and until when.

An entry with a length holds for it. One without holds until the next one without: two of them part the day. What began
last wins, limit by limit, so that an hour with more replicas may lie within a day with few. The latest moment of an
expression is looked up, nothing is remembered: after a pause of any length the same limits hold.

Expressions are those of Debian's cron, by the library cronsim, changes of the clock included: what falls into the hour
that is left out begins at its end, what falls into the hour that comes twice begins once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import floor, inf
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec.structs import replace

from inferry.errors import InvalidInput
from inferry.types.scaling import MAX_REPLICAS, Scaling, Schedule
from inferry.types.units import parse

FIELDS = 5
MOST = 32
"""Entries of one endpoint."""
LONGEST_S = 31 * 86400.0
CLOCK_S = 3 * 3600
"""Clocks are moved by less."""
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
HELP = "Write five fields of cron, a time zone, and min=N, max=N or both: 0 8 * * mon-fri Europe/Berlin min=2 for=10h"


class Said(NamedTuple):
    """Why the limits are what they are, "" where they are not by the schedule: to be put behind `at least 2`."""

    least: str = ""
    most: str = ""


NOTHING = Said()


class Holding(NamedTuple):
    """The `scaling` that holds from `since` (when it was looked up) until `until`, Unix seconds both."""

    scaling: Scaling
    said: Said = NOTHING
    since: float = -inf
    until: float = inf

    @property
    def text(self) -> str:
        """What holds by the schedule."""
        least, most = self.scaling.min_replicas, self.scaling.max_replicas
        told = [(f"at least {least}", self.said.least), (f"at most {most}", self.said.most)]
        return "; ".join(f"{limit}{why}" for limit, why in told if why)


def read(text: str) -> Schedule:
    """An entry as people write it. Raises InvalidInput."""
    words = text.split()
    if len(words) < FIELDS or any("=" in word for word in words[:FIELDS]):
        raise InvalidInput(f"The schedule {text[:80]!a} has no cron expression of five fields.", help=HELP)
    cron, rest = " ".join(words[:FIELDS]).lower(), words[FIELDS:]
    zone = rest.pop(0) if rest and "=" not in rest[0] else "UTC"
    found: dict[str, str] = {}
    for word in rest:
        name, equals, value = word.partition("=")
        if not equals or name not in ("min", "max", "for") or name in found:
            raise InvalidInput(f"{word[:40]!a} makes no sense in the schedule {text[:80]!a}.", help=HELP)
        found[name] = value
    limits = {f"{name}_replicas": _count(text, found[name]) for name in ("min", "max") if name in found}
    try:
        length = parse(found["for"], "seconds") if "for" in found else 0.0
    except ValueError as error:
        raise InvalidInput(f"In the schedule {text[:80]!a}, {error}.", help="Write for=90m or for=10h.") from None
    if "for" in found and not 60 <= length <= LONGEST_S:
        raise InvalidInput(f"The schedule {text[:80]!a} is for no usable length.", help="Use for=1m to for=31d.")
    made = Schedule(cron=cron, zone=zone, for_s=length, **limits)
    check_entry(made)
    return made


def _count(text: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) <= MAX_REPLICAS):
        raise InvalidInput(
            f"{value[:40]!a} is no number of replicas in the schedule {text[:80]!a}.", help=f"Use 0 to {MAX_REPLICAS}."
        )
    return int(value)


def check(entries: Sequence[Schedule]) -> None:
    """Raise InvalidInput for a schedule that cannot be."""
    if len(entries) > MOST:
        raise InvalidInput(f"A schedule of {len(entries)} entries is too long.", help=f"Use {MOST} at most.")
    for entry in entries:
        check_entry(entry)
    standing = [entry for entry in entries if not entry.for_s]
    if len(standing) == 1:
        raise InvalidInput(
            f"Nothing ends what the schedule {standing[0].text!a} begins.",
            help="Say for how long (for=10h), or add an entry that takes over from it.",
        )


def check_entry(entry: Schedule) -> None:
    """Raise InvalidInput for an entry that cannot be."""
    least, most = entry.min_replicas, entry.max_replicas
    if least is None and most is None:
        raise InvalidInput(f"The schedule {entry.text!a} changes nothing.", help=HELP)
    if most == 0 or (least is not None and most is not None and least > most):
        raise InvalidInput(f"The limits of the schedule {entry.text!a} cannot be.", help="Use max=1 or more, over min.")
    try:
        zone = ZoneInfo(entry.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            f"{entry.zone[:60]!a} is not a time zone.", help="Use a name such as UTC or Europe/Berlin."
        ) from None
    try:
        if len(entry.cron.split()) != FIELDS:
            raise CronSimError("It has not five fields")
        next(CronSim(entry.cron, EPOCH.astimezone(zone)))
    except CronSimError as error:
        raise InvalidInput(f"{entry.cron[:60]!a} is no cron expression: {error}.", help=HELP) from None
    except StopIteration:
        raise InvalidInput(f"{entry.cron[:60]!a} never comes.", help=HELP) from None


def holding(scaling: Scaling, now: float) -> Holding:
    """What holds at a moment."""
    if not scaling.schedule:
        return Holding(scaling)
    spans = [_span(place, entry, now) for place, entry in enumerate(scaling.schedule)]
    standing = max((span for span in spans if not span.entry.for_s and span.begun > -inf), default=None)
    timed = [span for span in spans if span.entry.for_s and span.begun + span.entry.for_s > now]
    changes = [span.next for span in spans] + [span.begun + span.entry.for_s for span in timed]
    until = min(changes)
    least, most, said = scaling.min_replicas, scaling.max_replicas, NOTHING
    for span in sorted([*timed, *([standing] if standing else [])]):
        entry, why = span.entry, f" by the schedule {span.entry.when} until {moment_text(until, span.entry.zone)}"
        if entry.min_replicas is not None:
            least, said = entry.min_replicas, said._replace(least=why)
            most = max(1, least, most)
        if entry.max_replicas is not None:
            most, said = entry.max_replicas, said._replace(most=why)
            least = min(least, most)
    made = replace(scaling, min_replicas=least, max_replicas=most)
    return Holding(made, said, now, until)


def awake(held: Holding, why: str) -> Holding:
    """What holds when one replica has to run at least, for another reason: to be put behind `at least 1`."""
    if held.scaling.min_replicas:
        return held
    return held._replace(scaling=replace(held.scaling, min_replicas=1), said=held.said._replace(least=why))


class _Span(NamedTuple):
    """When an entry last began, and when it begins next."""

    begun: float
    place: int
    next: float
    entry: Schedule


def _span(place: int, entry: Schedule, now: float) -> _Span:
    begun = next((at for at in moments(entry, now, back=True) if at <= now), -inf)
    return _Span(begun, place, next((at for at in moments(entry, now) if at > now), inf), entry)


def moments(entry: Schedule, now: float, *, back: bool = False) -> Iterator[float]:
    """The moments of an entry after (or up to) now, and maybe some before (after) it. Around a change of the clock a
    local time may mean two moments, so that one begins to look further away."""
    zone = ZoneInfo(entry.zone)
    at = floor(now)
    offsets = {datetime.fromtimestamp(at + move, zone).utcoffset() for move in (-CLOCK_S, 0, CLOCK_S)}
    away = CLOCK_S if len(offsets) > 1 else 0
    start = at + 1 + away if back else at - away
    for found in CronSim(entry.cron, datetime.fromtimestamp(start, zone), reverse=back):
        yield found.timestamp()


def moment_text(at: float, zone: str) -> str:
    """A moment on a zone's clock, for people."""
    return "further notice" if at == inf else f"{datetime.fromtimestamp(at, ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"
