"""Chunks: the pieces in which a language model's answer comes (OpenAI's streaming form), made one again.

Data flow: chunk by chunk -> `Gathered` -> the answer that a request without `stream` gets, and the tokens
that were read and written; `text_of` either is the text alone.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

JSON = dict[str, Any]
KEPT = ("id", "created", "model", "system_fingerprint")
APPENDED = ("content", "reasoning_content", "refusal")


class Gathered:
    """Chunks of one answer with one choice."""

    def __init__(self) -> None:
        self.tokens = (0, 0)
        self._first: JSON = {}
        self._usage: JSON = {}
        self._message: JSON = {"role": "assistant", "content": None}
        self._texts: list[str] = []
        self._calls: dict[int, JSON] = {}
        self._logprobs: list[Any] = []
        self._finish: Any = None

    def add(self, chunk: JSON) -> None:
        """The next chunk."""
        self._first = self._first or chunk
        if usage := chunk.get("usage"):
            self._usage = usage
            self.tokens = (int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0)))
        for choice in chunk.get("choices", ()):
            self._finish = choice.get("finish_reason") or self._finish
            self._logprobs += (choice.get("logprobs") or {}).get("content") or ()
            self._texts.append(choice.get("text") or "")
            self._delta(choice.get("delta") or {})

    def _delta(self, delta: JSON) -> None:
        for key in APPENDED:
            if delta.get(key):
                self._message[key] = (self._message.get(key) or "") + delta[key]
        for call in delta.get("tool_calls") or ():
            known = self._calls.setdefault(call.get("index", 0), {"type": "function", "function": {}})
            known |= {key: value for key, value in call.items() if key not in ("index", "function")}
            for key, text in (call.get("function") or {}).items():
                known["function"][key] = known["function"].get(key, "") + text

    def whole(self) -> JSON:
        """The answer in one piece."""
        chat = self._first.get("object") == "chat.completion.chunk"
        choice: JSON = {"index": 0, "finish_reason": self._finish}
        choice["logprobs"] = {"content": self._logprobs} if self._logprobs else None
        if chat:
            calls = {"tool_calls": [self._calls[at] for at in sorted(self._calls)]} if self._calls else {}
            choice["message"] = self._message | calls
            if not calls and self._message["content"] is None:
                choice["message"]["content"] = ""
        else:
            choice["text"] = "".join(self._texts)
        kept: JSON = {key: value for key, value in self._first.items() if key in KEPT}
        kind = "chat.completion" if chat else "text_completion"
        return {**kept, "object": kind, "choices": [choice], "usage": self._usage}


class Form:
    """How one answer's chunks look: a chat's, or a completion's."""

    def __init__(self, *, chat: bool) -> None:
        self.chat = chat
        self._head = {
            "id": ("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12),
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": int(time.time()),
        }

    def opening(self) -> list[JSON]:
        """What comes before the text: of a chat, who speaks."""
        return [self._chunk({"delta": {"role": "assistant", "content": ""}})] if self.chat else []

    def piece(self, text: str, logprobs: list[JSON] | None = None) -> JSON:
        """Some text, and what is told of its tokens."""
        told = {"logprobs": {"content": logprobs}} if logprobs is not None else {}
        return self._chunk(({"delta": {"content": text}} if self.chat else {"text": text}) | told)

    def end(self, why: str) -> JSON:
        """The end: `stop` or `length`."""
        return self._chunk({"delta": {}} if self.chat else {"text": ""}, why)

    def usage(self, read: int, written: int) -> JSON:
        """How many tokens were read and written."""
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return {**self._head, "choices": [], "usage": usage}

    def _chunk(self, said: JSON, why: str | None = None) -> JSON:
        return {**self._head, "choices": [{"index": 0, "finish_reason": why, "logprobs": None, **said}]}


def shown(chunk: JSON, *, usage: bool) -> JSON | None:
    """A chunk as a client gets it; None when all it holds is a usage that was not asked for."""
    if not usage and not chunk.get("choices"):
        return None
    dropped = ("timings",) if usage else ("timings", "usage")
    return {key: value for key, value in chunk.items() if key not in dropped}


def text_of(answer: JSON) -> str:
    """The text in an answer or a chunk of one."""
    for choice in answer.get("choices", ()):
        message = choice.get("message") or choice.get("delta") or choice
        return message.get("content") or message.get("text") or ""
    return ""
