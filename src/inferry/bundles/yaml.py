"""YAML as tools write it: enough to read an MLmodel, conda.yaml or model.yaml. Nothing in it can be run.

Data flow: text -> blocks by indentation (mappings, lists), flow lists and mappings, quoted, plain and
block scalars -> dicts, lists, text, numbers, bools and None. Tags (`!!python/object`), anchors and
aliases are refused, and so is whatever is nested too deeply: a file of settings needs none of it.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

MAX_TEXT = 8 << 20
MAX_DEPTH = 32
MAX_FLOW_LINES = 1000

_KEY = re.compile(
    r"""(?:'(?P<single>(?:[^']|'')*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s'"\[\]{}#&*!|>%@`,-](?:[^#:]|:(?=\S)|(?<=\S)#)*?|-[^\s#:]+))\s*:(?=\s|$)"""
)
_SINGLE = re.compile(r"(?:[^']|'')*")
_DOUBLE = re.compile(r'(?:[^"\\]|\\.)*')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v",
            "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"}  # fmt: skip
_WHOLE = re.compile(r"[-+]?[0-9]{1,4000}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_REFUSED = {"!": "a tag", "&": "an anchor", "*": "an alias", "%": "a directive", "@": "'@'", "`": "'`'", "?": "'?'"}


class YamlError(ValueError):
    """The text is not YAML, or not of the kind that is read here. Says in which line."""


class _Line(NamedTuple):
    indent: int
    text: str


def read_yaml(text: str) -> Any:
    """The value of a document. Raises YamlError."""
    if len(text) > MAX_TEXT:
        raise YamlError("it is too long")
    reader = _Reader(text.removeprefix("\ufeff"))
    value = reader.block(0, MAX_DEPTH)
    if reader.peek() is not None:
        raise reader.wrong("cannot be read")
    return value


class _Reader:
    """Goes down the lines once."""

    def __init__(self, text: str) -> None:
        self.lines = re.split(r"\r\n|\n|\r", text)
        self.at = 0
        first = self.peek()
        if first is not None and first.text.rstrip() == "---":
            self.at += 1

    def wrong(self, what: str) -> YamlError:
        return YamlError(f"line {min(self.at + 1, len(self.lines))} {what}")

    def peek(self) -> _Line | None:
        """The next line that says something."""
        while self.at < len(self.lines):
            line = self.lines[self.at]
            text = line.lstrip(" ")
            if text.startswith("\t"):
                raise self.wrong("is indented with a tab")
            if text.strip() in {"...", "---"} and len(text) == len(line) and self.at:
                if any(rest.strip() for rest in self.lines[self.at + 1 :]):
                    raise self.wrong("begins a second document")
                return None
            if text and not text.startswith("#") and text.strip():
                return _Line(len(line) - len(text), text.rstrip())
            self.at += 1
        return None

    def block(self, least: int, depth: int) -> Any:
        """The value that begins at the next line, when that is indented by at least `least`."""
        if depth == 0:
            raise self.wrong("is nested too deeply")
        found = self.peek()
        if found is None or found.indent < least:
            return None
        if _is_item(found.text):
            return self._list(found.indent, depth)
        if _KEY.match(found.text):
            return self._mapping(found.indent, depth)
        return self._scalar(found.indent - 1, found.text, depth)

    def _mapping(self, indent: int, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while (found := self.peek()) is not None and found.indent == indent and not _is_item(found.text):
            match = _KEY.match(found.text)
            if match is None:
                raise self.wrong("has no key")
            key = _key(match)
            if key in made:
                raise self.wrong(f"has the key {key[:40]!a} again")
            made[key] = self._value(indent, found.text[match.end() :].lstrip(), depth, mapping=True)
        if found is not None and found.indent > indent:
            raise self.wrong("is indented too far")
        return made

    def _list(self, indent: int, depth: int) -> list[Any]:
        made: list[Any] = []
        while (found := self.peek()) is not None and found.indent == indent and _is_item(found.text):
            rest = found.text[1:].lstrip()
            if _is_item(rest) or _KEY.match(rest):
                inner = indent + len(found.text) - len(rest)
                self.lines[self.at] = " " * inner + rest
                made.append(self.block(inner, depth - 1))
            else:
                made.append(self._value(indent, rest, depth, mapping=False))
        if found is not None and found.indent > indent:
            raise self.wrong("is indented too far")
        return made

    def _value(self, indent: int, rest: str, depth: int, *, mapping: bool) -> Any:
        if rest and not rest.startswith("#"):
            return self._scalar(indent, rest, depth)
        self.at += 1
        found = self.peek()
        if (
            found is None
            or found.indent < indent
            or (found.indent == indent and not (mapping and _is_item(found.text)))
        ):
            return None
        return self.block(found.indent, depth - 1)

    def _scalar(self, indent: int, text: str, depth: int) -> Any:
        """A value that begins within a line, and may go on in lines that are indented further."""
        first = text[0]
        if first in _REFUSED:
            raise self.wrong(f"has {_REFUSED[first]}, which is not read")
        if first in "|>":
            return self._literal(indent, text)
        if first in "'\"":
            return self._quoted(text)
        if first in "[{":
            return self._flow(text, depth)
        return self._plain(indent, text)

    def _literal(self, indent: int, head: str) -> str:
        if not re.fullmatch(r"[|>][-+]?(\s+#.*)?", head):
            raise self.wrong("has a block scalar of a kind that is not read")
        self.at += 1
        kept: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.strip() and len(line) - len(line.lstrip(" ")) <= indent:
                break
            kept.append(line)
            self.at += 1
        margin = min((len(line) - len(line.lstrip(" ")) for line in kept if line.strip()), default=0)
        lines = [line[margin:] for line in kept]
        while lines and not lines[-1].strip():
            lines.pop()
        text = "\n".join(lines) if head[0] == "|" else _folded(lines)
        return text if head[1:2] == "-" or not text else text + "\n"

    def _quoted(self, text: str) -> str:
        quote, text = text[0], text[1:]
        pieces: list[str] = []
        while True:
            match = (_SINGLE if quote == "'" else _DOUBLE).match(text)
            end = match.end() if match else 0
            if text[end : end + 1] == quote:
                pieces.append(text[:end])
                self._nothing_after(text[end + 1 :])
                break
            pieces.append(text)
            self.at += 1
            if self.at >= len(self.lines):
                raise self.wrong("ends inside a quoted text")
            text = self.lines[self.at].strip()
        self.at += 1
        if quote == "'":
            return _folded(pieces).replace("''", "'")
        return _unescape(_folded(pieces, escapes=True))

    def _nothing_after(self, rest: str) -> None:
        if rest.strip() and not re.match(r"\s+#", rest):
            raise self.wrong("goes on after its value")

    def _plain(self, indent: int, text: str) -> Any:
        pieces = []
        while True:
            bare = re.split(r"\s#", text, maxsplit=1)[0].rstrip()
            if re.search(r":(\s|$)", bare):
                raise self.wrong("has ': ' in a text without quotes")
            pieces.append(bare)
            self.at += 1
            if bare != text.rstrip() or self.at >= len(self.lines):
                break
            line = self.lines[self.at]
            if not line.strip() or line.lstrip().startswith("#") or len(line) - len(line.lstrip(" ")) <= indent:
                break
            text = line.strip()
        return _typed(pieces[0]) if len(pieces) == 1 else " ".join(pieces)

    def _flow(self, text: str, depth: int) -> Any:
        started = self.at
        while True:
            flow = _Flow(text)
            try:
                value = flow.value(depth)
            except _More:
                self.at += 1
                if self.at >= len(self.lines) or self.at - started > MAX_FLOW_LINES:
                    raise self.wrong("ends inside brackets") from None
                text = f"{text} {self.lines[self.at].strip()}"
                continue
            except YamlError as error:
                raise self.wrong(str(error)) from None
            self._nothing_after(text[flow.at :])
            self.at += 1
            return value


class _More(Exception):
    """The brackets go on in the next line."""


class _Flow:
    """A list or mapping in brackets."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def value(self, depth: int) -> Any:
        if depth == 0:
            raise YamlError("is nested too deeply")
        first = self._next()
        if first == "[":
            return self._items("]", depth)
        if first == "{":
            return dict(self._items("}", depth))
        if first in _REFUSED:
            raise YamlError(f"has {_REFUSED[first]}, which is not read")
        if first in "'\"":
            return self._quoted(first)
        match = re.compile(r"(?:[^,\[\]{}:#]|:(?=[^\s,\[\]{}])|(?<=\S)#)+").match(self.text, self.at)
        if match is None:
            raise YamlError("cannot be read")
        self.at = match.end()
        return _typed(match[0].strip())

    def _items(self, end: str, depth: int) -> list[Any]:
        self.at += 1
        made: list[Any] = []
        while self._next() != end:
            item = self.value(depth - 1)
            if end == "}":
                if self._next() != ":" or not isinstance(item, str | int | float | bool):
                    raise YamlError("has a mapping in brackets that cannot be read")
                self.at += 1
                item = (str(item), None if self._next() in ",}" else self.value(depth - 1))
            made.append(item)
            if self._next() == ",":
                self.at += 1
            elif self._next() != end:
                raise YamlError("cannot be read")
        self.at += 1
        return made

    def _quoted(self, quote: str) -> str:
        match = (_SINGLE if quote == "'" else _DOUBLE).match(self.text, self.at + 1)
        end = match.end() if match else self.at
        if self.text[end : end + 1] != quote:
            raise _More
        inside, self.at = self.text[self.at + 1 : end], end + 1
        return inside.replace("''", "'") if quote == "'" else _unescape(inside)

    def _next(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        if self.at == len(self.text):
            raise _More
        return self.text[self.at]


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith("- ")


def _key(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return match["single"].replace("''", "'")
    return match["plain"].rstrip() if match["double"] is None else _unescape(match["double"])


def _folded(lines: list[str], *, escapes: bool = False) -> str:
    """Lines of one text: a line end is a space, an empty line a line end; an escaped one is nothing."""
    text, gap = lines[0] if lines else "", ""
    for line in lines[1:]:
        if not line.strip():
            gap += "\n"
            continue
        escaped = escapes and re.search(r"(?<!\\)(?:\\\\)*\\$", text)
        text = text[:-1] + gap + line if escaped else text.rstrip(" ") + (gap or " ") + line
        gap = ""
    return text + gap


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 1:
            return _ESCAPES.get(code, code)
        number = int(code[1:], 16)
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            raise YamlError("has an escape that is no character")
        return chr(number)

    return _ESCAPE.sub(one, text)


def _typed(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
