"""Replay: how a kept request is sent again, when, and how two answers differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inferry.errors import InvalidInput
from inferry.policy import compare
from inferry.types.replay import KeptInput, ReplayAsk

MAX_LAST_S = 30 * 86_400.0
MAX_RATE = 1000.0
MAX_REQUESTS = 10_000
MAX_COMPARED = 256 << 10
"""JSON answers up to this size are compared by field, larger ones as bytes."""


def check_ask(ask: ReplayAsk) -> ReplayAsk:
    """The wish, when it can be carried out. Raises InvalidInput."""
    if not 0 < ask.last <= MAX_LAST_S:
        raise InvalidInput(f"Requests of the last {ask.last:g} s cannot be sent again.", help="Use up to 30d.")
    if not 0 <= ask.rate <= MAX_RATE:
        raise InvalidInput(f"{ask.rate:g} is not a rate.", help=f"Use up to {MAX_RATE:g}, or 0 for no pauses.")
    if not 1 <= ask.most <= MAX_REQUESTS:
        raise InvalidInput(f"{ask.most} requests cannot be sent again.", help=f"Use 1 to {MAX_REQUESTS}.")
    return ask


def headers_of(kept: KeptInput) -> dict[str, str]:
    """What its body needs, and nothing else that came with it."""
    made = {"content-type": kept.media} if kept.media else {}
    if kept.encoding:
        made["content-encoding"] = kept.encoding
    if kept.json_size:
        made["inference-header-content-length"] = str(kept.json_size)
    return made


def due(kept: Sequence[KeptInput], rate: float) -> list[float]:
    """Seconds from the beginning at which each is sent; they are oldest first."""
    return [max(0.0, one.at - kept[0].at) / rate if rate else 0.0 for one in kept]


def differences(media: str, one: bytes, other: bytes) -> compare.Differences:
    """By field where both are JSON, else as a whole."""
    if media.partition(";")[0].strip() == "application/json" and max(len(one), len(other)) <= MAX_COMPARED:
        try:
            return compare.compare(msgspec.json.decode(one), msgspec.json.decode(other))
        except (ValueError, RecursionError):  # a model's own process says what it likes
            return compare.compare({"(bytes)": one}, {"(bytes)": other})
    return compare.compare({"(bytes)": one}, {"(bytes)": other})
