"""Sampling: the next token of an answer, chosen from a model's scores as a request wishes.

Data flow: OpenAI body, and what generation_config.json says -> Wishes, checked; scores of one position and the
tokens made so far -> biases and penalties -> the likeliest (temperature 0), or one drawn by the request's own seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from inferry.errors import InvalidInput

REFUSED = {
    "tools": "calls of tools are not read from this model's answers",
    "tool_choice": "calls of tools are not read from this model's answers",
    "parallel_tool_calls": "calls of tools are not read from this model's answers",
    "response_format": "this engine cannot bind an answer to JSON",
}
NOTHING = {"tool_choice": "none", "response_format": {"type": "text"}, "tools": []}
"""Values of those that ask for nothing."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How an answer is written. `most`: new tokens, at most. `logprobs`: how many alternatives are
    told (-1: nothing)."""

    most: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence: float = 0.0
    frequency: float = 0.0
    repeat: float = 1.0
    seed: int | None = None
    stops: tuple[str, ...] = ()
    bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int = -1


class Picked(NamedTuple):
    """A token, its log probability, and the likeliest alternatives with theirs (when they were wished for)."""

    token: int
    logprob: float = 0.0
    others: Sequence[tuple[int, float]] = ()


def refused(name: str, why: str, help: str = "Leave it out, or deploy the model as GGUF.") -> InvalidInput:
    """The error of a field that cannot be done."""
    error = InvalidInput(f"{name!r} cannot be done: {why}.", help=help)
    error.param = name
    return error


def wishes_of(body: Mapping[str, Any], config: Any, room: int, size: int) -> Wishes:
    """What a checked OpenAI body asks for. `config`: the model's generation_config; `room`: tokens left in the
    context; `size`: of the vocabulary. Raises InvalidInput for what cannot be done."""
    for name, why in REFUSED.items():
        if body.get(name) not in (None, NOTHING.get(name)):
            raise refused(name, why)
    usual = {name: getattr(config, name, None) for name in ("temperature", "top_p", "top_k", "min_p")}
    usual = {name: value for name, value in usual.items() if value is not None and getattr(config, "do_sample", False)}
    stop = body.get("stop") or ()
    logprobs = body.get("logprobs", -1)
    if isinstance(logprobs, bool):
        logprobs = body.get("top_logprobs", 0) if logprobs else -1
    return Wishes(
        most=min(body.get("max_tokens") or room, room),
        temperature=body.get("temperature", usual.get("temperature", 1.0)),
        top_p=body.get("top_p", usual.get("top_p", 1.0)),
        top_k=body.get("top_k", usual.get("top_k", 0)),
        min_p=body.get("min_p", usual.get("min_p", 0.0)),
        presence=body.get("presence_penalty", 0.0),
        frequency=body.get("frequency_penalty", 0.0),
        repeat=body.get("repeat_penalty", getattr(config, "repetition_penalty", None) or 1.0),
        seed=body.get("seed"),
        stops=(stop,) if isinstance(stop, str) else tuple(stop),
        bias=_bias(body.get("logit_bias") or {}, size),
        logprobs=logprobs,
    )


def _bias(given: Mapping[str, Any], size: int) -> dict[int, float]:
    made = {}
    for key, value in given.items():
        fits = key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < size
        if not fits or type(value) not in (int, float) or not -100 <= value <= 100:
            error = InvalidInput(
                f"'logit_bias' has {key[:20]!a}, which is no token with a number from -100 to 100.",
                help=f"Tokens are numbers from 0 to {size - 1}.",
            )
            error.param = "logit_bias"
            raise error
        made[int(key)] = float(value)
    return made


class Sampler:
    """Chooses the tokens of one answer to `prompt`."""

    def __init__(self, wishes: Wishes, prompt: Sequence[int]) -> None:
        self._wishes = wishes
        self._counts: dict[int, int] = {}
        self._seen = set(prompt)
        self._dice = torch.Generator()
        self._dice.seed() if wishes.seed is None else self._dice.manual_seed(wishes.seed)

    def pick(self, scores: Any) -> Picked:
        """The next token for the scores [vocabulary], float32."""
        wishes = self._wishes
        told = torch.log_softmax(scores, -1) if wishes.logprobs >= 0 else None
        token = self._choose(self._bent(scores))
        self._counts[token] = self._counts.get(token, 0) + 1
        self._seen.add(token)
        if told is None:
            return Picked(token)
        values, ids = told.topk(min(wishes.logprobs, told.shape[-1]))
        return Picked(token, float(told[token]), tuple(zip(ids.tolist(), values.tolist(), strict=True)))

    def _bent(self, scores: Any) -> Any:
        """The scores with biases and penalties."""
        wishes = self._wishes
        if wishes.repeat != 1.0 and wishes.repeat > 0:
            scores = scores.clone()
            ids = torch.tensor(sorted(self._seen))
            seen = scores[ids]
            scores[ids] = torch.where(seen < 0, seen * wishes.repeat, seen / wishes.repeat)
        if (wishes.presence or wishes.frequency) and self._counts:
            ids, counts = torch.tensor(list(self._counts)), torch.tensor(list(self._counts.values()))
            scores = scores.index_add(0, ids, -(wishes.presence + wishes.frequency * counts.float()))
        if wishes.bias:
            ids = torch.tensor(list(wishes.bias))
            scores = scores.index_add(0, ids, torch.tensor(list(wishes.bias.values())))
        return scores

    def _choose(self, scores: Any) -> int:
        wishes = self._wishes
        if wishes.temperature < 1e-4 or wishes.top_k == 1:
            return int(scores.argmax())
        likely, ids = torch.softmax(scores / wishes.temperature, -1).sort(descending=True)
        keep = torch.ones_like(likely, dtype=torch.bool)
        if wishes.top_k:
            keep[wishes.top_k :] = False
        if wishes.top_p < 1:
            keep &= likely.cumsum(-1) - likely < wishes.top_p
        if wishes.min_p:
            keep &= likely >= wishes.min_p * likely[0]
        keep[0] = True
        return int(ids[torch.multinomial(likely * keep, 1, generator=self._dice)])
