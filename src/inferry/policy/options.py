"""Options of engines: what a person gives, checked by what the runtime declares. Pure.

Texts by name, what the endpoint ran with before, and the declaration -> values by name, or a refusal that names
the options that there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from inferry.errors import InvalidInput
from inferry.types.options import Option, Value

LONGEST = 1 << 16


def settle(
    runtime: str, declared: Sequence[Option], before: Mapping[str, Value], given: Mapping[str, str]
) -> dict[str, Value]:
    """The options that a revision runs with: those that are given, over those of the revision before that this runtime
    still knows. An empty text takes an option back. Raises InvalidInput."""
    known = {option.name: option for option in declared}
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        listed = "; ".join(f"{option.name} ({takes(option)}): {option.about}" for option in declared)
        raise InvalidInput(
            f"The runtime {runtime} has no option {unknown[:60]!a}.",
            help=f"It has {listed}." if listed else "It has none: leave --option out.",
        )
    kept = {name: value for name, value in before.items() if name in known}
    for name, text in given.items():
        if text:
            kept[name] = value_of(known[name], text)
        else:
            kept.pop(name, None)
    return dict(sorted(kept.items()))


def value_of(option: Option, text: str) -> Value:
    """The text as the option's kind of value. Raises InvalidInput."""
    value: Value | None = None
    if option.kind == "text":
        fits = len(text) <= LONGEST and (not option.choices or text in option.choices)
        value = text if fits else None
    else:
        try:
            number = int(text) if option.kind == "integer" else float(text)
        except ValueError:
            number = float("nan")
        value = number if isfinite(number) and option.low <= number <= option.high else None
    if value is None:
        raise InvalidInput(
            f"The option {option.name} cannot be {text[:60]!a}: it is {takes(option)}.",
            help=f"{option.about[:1].upper()}{option.about[1:]}.",
        )
    return value


def takes(option: Option) -> str:
    """What an option may be, in words."""
    if option.choices:
        return f"one of {', '.join(option.choices)}"
    if option.kind == "text":
        return f"a text of up to {LONGEST} characters"
    whole = "a whole number" if option.kind == "integer" else "a number"
    return f"{whole} from {option.low:.10g} to {option.high:.10g}"
