"""Protocol Buffers' text form, without a schema: enough to read Triton's config.pbtxt.

Data flow: text -> tokens (names, numbers, quoted text, punctuation; comments dropped) -> a message: field
name -> the list of its values in file order. A value is text (an enum's name, too), a number, a bool or
a message. Length, depth and number of tokens are bounded.
"""

from __future__ import annotations

import re
from typing import Any

MAX_TEXT = 1 << 20
MAX_DEPTH = 32

Message = dict[str, list[Any]]

_TOKEN = re.compile(
    r"""(?:(?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    |(?P<number>[-+]?\s*(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?f?))
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<mark>[{}<>\[\]:,;])
    |(?P<end>\Z))""",
    re.VERBOSE,
)
_SPACE = re.compile(r"(?:\s|#[^\n]*+)*+")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


class PbtxtError(ValueError):
    """The text is not a message. Says in which line."""


def read_pbtxt(text: str) -> Message:
    """The fields of a message. Raises PbtxtError."""
    if len(text) > MAX_TEXT:
        raise PbtxtError("it is too long")
    reader = _Reader(text)
    return reader.message("", MAX_DEPTH)


class _Reader:
    """Goes through the tokens once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._token: tuple[str, str] = ("", "")
        self._advance()

    def message(self, end: str, depth: int) -> Message:
        """Fields up to `end` ("" for the end of the text)."""
        if depth == 0:
            raise self._wrong("is nested too deeply")
        made: Message = {}
        while self._token != (("mark", end) if end else ("end", "")):
            kind, name = self._token
            if kind != "name":
                raise self._wrong("has no field name" if kind != "end" else "ends inside a message")
            self._advance()
            colon = self._take(":")
            made.setdefault(name, []).extend(self._values(depth, colon=colon))
            if not self._take(","):
                self._take(";")
        self._advance()
        return made

    def _values(self, depth: int, *, colon: bool) -> list[Any]:
        if not self._take("["):
            return [self._value(depth, colon=colon)]
        made: list[Any] = []
        while not self._take("]"):
            made.append(self._value(depth, colon=colon))
            if not self._take(",") and self._token != ("mark", "]"):
                raise self._wrong("has a list that cannot be read")
        return made

    def _value(self, depth: int, *, colon: bool) -> Any:
        kind, text = self._token
        if kind == "mark" and text in "{<":
            self._advance()
            return self.message("}" if text == "{" else ">", depth - 1)
        if not colon or kind in {"mark", "end"}:
            raise self._wrong("has a field without a value")
        self._advance()
        if kind == "number":
            return self._number(text)
        if kind == "name":
            return {"true": True, "false": False}.get(text, text)
        pieces = [text]
        while self._token[0] == "text":
            pieces.append(self._token[1])
            self._advance()
        return "".join(map(_unquoted, pieces))

    def _number(self, text: str) -> int | float:
        text = re.sub(r"\s", "", text)
        try:
            if re.fullmatch(r"[-+]?0[xX].*", text):
                return int(text, 16)
            return int(text) if re.fullmatch(r"[-+]?[0-9]{1,40}", text) else float(text.rstrip("f") or "0")
        except ValueError:
            raise self._wrong("has a number that cannot be read") from None

    def _take(self, mark: str) -> bool:
        if self._token != ("mark", mark):
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.lastgroup is None:
            raise self._wrong("cannot be read")
        self._at = match.end()
        self._token = match.lastgroup, match[match.lastgroup]

    def _wrong(self, what: str) -> PbtxtError:
        return PbtxtError(f"line {self._text.count(chr(10), 0, self._at) + 1} {what}")


def _unquoted(text: str) -> str:
    def one(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code[:1] == b"x" and len(code) > 1:
            return bytes((int(code[1:], 16),))
        if code.isdigit():
            return bytes((int(code, 8) & 0xFF,))
        return _ESCAPES.get(code, code)

    return _ESCAPE.sub(one, text[1:-1].encode()).decode("utf-8", "replace")
