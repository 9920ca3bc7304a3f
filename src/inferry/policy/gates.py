"""Gates: what measurements mean. Pure: numbers and limits in, findings in words out.

Data flow: what a gate asks for + what was measured -> Findings -> one Result. A gate passes when nothing that it
looked at failed; it is skipped when it could look at nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from inferry.policy.bootstrap import Difference
from inferry.policy.metrics import SMALLER_IS_BETTER
from inferry.types.gates import Gate
from inferry.types.trials import Finding, Result, Verdict
from inferry.types.units import size_text, time_text


def result(gate: Gate, findings: Sequence[Finding], seconds: float) -> Result:
    """What came of a gate, in a line."""
    failed = [finding for finding in findings if finding.verdict == "failed"]
    looked = [finding for finding in findings if finding.verdict == "passed"]
    verdict: Verdict = "failed" if failed else "passed" if looked else "skipped"
    telling = failed or looked or list(findings)
    shown = "; ".join(finding.words for finding in telling[:3] if finding.words)
    more = f"; and {len(telling) - 3} more" if len(telling) > 3 else ""
    return Result(
        gate=gate.kind, name=gate.title, verdict=verdict, words=shown + more, findings=tuple(findings),
        seconds=round(seconds, 3),
    )  # fmt: skip


def judge_limits(
    values: Mapping[str, float], at_least: Mapping[str, float], at_most: Mapping[str, float], of: str = ""
) -> list[Finding]:
    """Metrics against limits. `of`: the slice they are of."""
    prefix = f"{of}: " if of else ""
    found = []
    for limits, floor in ((at_least, True), (at_most, False)):
        for name, limit in limits.items():
            value = values[name]
            if math.isnan(value):
                words = f"{prefix}{name} is not defined on these rows"
                found.append(Finding(what=prefix + name, verdict="failed", words=words, limit=limit))
                continue
            good = value >= limit if floor else value <= limit
            ask = f"at {'least' if floor else 'most'} {limit:g}"
            words = f"{prefix}{name} is {value:.4g}{asked(ask, good)}"
            verdict: Verdict = "passed" if good else "failed"
            found.append(Finding(what=prefix + name, verdict=verdict, value=value, limit=limit, words=words))
    return found


def judge_difference(
    metric: str, found: Difference, than: str, not_worse_by: float | None, better_by: float | None
) -> Finding:
    """A metric's difference to another version's. `found` is candidate minus the other, whichever way is better."""
    what = f"{metric} against {than}"
    if math.isnan(found.low):
        return Finding(what=what, verdict="failed", words=f"{metric} cannot be compared with {than} on these rows")
    low, high = (-found.high, -found.low) if metric in SMALLER_IS_BETTER else (found.low, found.high)
    percent = f"{found.confidence * 100:g}%"
    shown = f"{found.value:+.4g} ({percent} interval {found.low:+.4g} to {found.high:+.4g})"
    if better_by is not None:
        good, ask = low > better_by, f"better by more than {better_by:g}"
    elif not_worse_by is not None:
        good, ask = low >= -not_worse_by, f"not worse by more than {not_worse_by:g}"
    else:
        good, ask = high >= 0, "not worse"
    told = "" if good else _undecided(low, high, better_by, not_worse_by)
    words = f"{metric} differs from {than} by {shown}: {'' if good else 'not shown to be '}{ask}{told}"
    if not good and better_by is None and not_worse_by is None:
        words = f"{metric} differs from {than} by {shown}: it is worse"
    return Finding(what=what, verdict="passed" if good else "failed", value=found.value, words=words)


def _undecided(low: float, high: float, better_by: float | None, not_worse_by: float | None) -> str:
    needed = better_by if better_by is not None else -(not_worse_by or 0.0)
    return ", more rows could tell" if low <= needed < high else ""


def judge_times(
    times: Mapping[str, float], at_most: Mapping[str, float], ratio: Mapping[str, float],
    other: Mapping[str, float], than: str,
) -> list[Finding]:  # fmt: skip
    """Quantiles in seconds against limits, and against those of another version."""
    found = [
        _below(name, times[name], limit, f"{name} is {time_text(times[name])}", time_text(limit))
        for name, limit in at_most.items()
    ]
    for name, limit in ratio.items():
        if name in other:
            times_as = times[name] / other[name] if other[name] else math.inf
            shown = f"{name} is {time_text(times[name])}, {times_as:.2f} times the {time_text(other[name])} of {than}"
            found.append(_below(f"{name} against {than}", times_as, limit, shown, f"{limit:g} times"))
    return found


def judge_bytes(
    what: str, value: float, at_most: float | None, ratio: float | None, other: float | None, than: str
) -> list[Finding]:
    """A number of bytes against a limit, and against that of another version."""
    found = []
    if at_most is not None:
        found.append(_below(what, value, at_most, f"{what} is {size_text(value)}", size_text(at_most)))
    if ratio is not None and other:
        shown = f"{what} is {size_text(value)}, {value / other:.2f} times the {size_text(other)} of {than}"
        found.append(_below(f"{what} against {than}", value / other, ratio, shown, f"{ratio:g} times"))
    return found


def _below(what: str, value: float, limit: float, shown: str, limit_shown: str) -> Finding:
    good = value <= limit
    words = f"{shown}{asked(f'at most {limit_shown}', good)}"
    return Finding(what=what, verdict="passed" if good else "failed", value=value, limit=limit, words=words)


def asked(ask: str, good: bool) -> str:
    """What was asked for, behind what was found."""
    return f" ({ask})" if good else f", but must be {ask}"


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99: the smallest time that so many percent of the requests did not exceed."""
    ranked = sorted(seconds)
    return {f"p{percent}": ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)] for percent in (50, 95, 99)}


def differs(got: Any, expected: Any, tolerance: float, at: str = "") -> str:
    """How an answer differs from the one expected, "" when it does not. Fields that are not expected do not matter.

    A lone field stands for its value: `"yes"` for `{"label": "yes"}` and for an answer with a label beside others.
    """
    if isinstance(got, dict) and not isinstance(expected, dict):
        got = got["label"] if "label" in got else next(iter(got.values())) if len(got) == 1 else got
    other = f"{at or 'it'} is {_shown(got)}, not {_shown(expected)}"
    if isinstance(expected, dict):
        return _fields(got, expected, tolerance, at) if isinstance(got, dict) else other
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return other
        pairs = enumerate(zip(got, expected, strict=True))
        return next(filter(None, (differs(one, two, tolerance, f"{at}[{place}]") for place, (one, two) in pairs)), "")
    return "" if _same(got, expected, tolerance) else other


def _fields(got: dict[str, Any], expected: dict[str, Any], tolerance: float, at: str) -> str:
    before = f"{at}." if at else ""
    lost = next((key for key in expected if key not in got), None)
    if lost is not None:
        return f"{before}{lost} is missing"
    said = (differs(got[key], expected[key], tolerance, f"{before}{key}") for key in expected)
    return next(filter(None, said), "")


def _same(got: Any, expected: Any, tolerance: float) -> bool:
    numbers = (int, float)
    plain = not isinstance(got, bool) and not isinstance(expected, bool)
    if plain and isinstance(got, numbers) and isinstance(expected, numbers):
        if isinstance(got, int) and isinstance(expected, int):
            return got == expected
        return abs(got - expected) <= tolerance * max(1.0, abs(expected))
    return type(got) is type(expected) and bool(got == expected)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
