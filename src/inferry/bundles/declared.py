"""Settings files: YAML into frozen classes, and every mistake with its line and what was probably meant.

Data flow: text -> PyYAML's nodes (they know their lines) -> values, by what the class's fields say -> one
instance, with the line of each path; or InvalidSettings with all problems at once.

Scalars are read as YAML 1.2 does: `on`, `yes` and `012` are text, only `true` and `false` are truth.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import yaml
from msgspec import inspect

from inferry.errors import InvalidSettings
from inferry.types.declared import Path, Problem, sentence
from inferry.types.units import EXAMPLES, UNIT, parse

T = TypeVar("T")

MAX_TEXT = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000
_SHOWN = 20  # problems in one error
_CORE = "tag:yaml.org,2002:"
_TAGS = {"null", "bool", "int", "float", "str", "seq", "map", "timestamp", "value", "merge"}
_NULL = re.compile(r"|~|null|Null|NULL")
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Declared(Generic[T]):
    """What a file says, and in which line it says it."""

    file: str
    value: T
    lines: Mapping[Path, int]

    def check(self, problems: Iterable[Problem]) -> T:
        """The value, when there are no problems. Raises InvalidSettings with all there are."""
        found = list(problems)
        if found:
            raise _wrong(self.file, found, self.lines)
        return self.value


def read_declared(text: str, kind: type[T], file: str) -> Declared[T]:
    """One document as `kind`, a msgspec class. Raises InvalidSettings with the line of each problem."""
    if len(text) > MAX_TEXT:
        raise InvalidSettings(f"{file} is longer than a settings file can be ({MAX_TEXT >> 20} MiB).")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InvalidSettings(f"{file}{line}: it is not YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidSettings(
            f"{file}: it is not YAML: {str(error).splitlines()[0] or 'it is nested too deep'}."
        ) from error
    reader = _Reader()
    if node is None:
        raise InvalidSettings(f"{file} is empty.")
    value = reader.value(node, inspect.type_info(kind), ())
    if not reader.problems:
        try:
            return Declared(file, msgspec.convert(value, kind), reader.lines)
        except msgspec.ValidationError as error:  # a limit that a field has beside its type
            reader.problems.append(Problem((), f"it cannot be: {error}"))
    raise _wrong(file, reader.problems, reader.lines)


def _wrong(file: str, problems: list[Problem], lines: Mapping[Path, int]) -> InvalidSettings:
    def line(path: Path) -> int:
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path, 1)

    ordered = sorted(problems, key=lambda problem: line(problem.path))
    texts = [f"{file}:{line(problem.path)}: {sentence(problem)}" for problem in ordered[:_SHOWN]]
    more = [f"... and {len(ordered) - _SHOWN} more."] if len(ordered) > _SHOWN else []
    return InvalidSettings("\n".join(texts + more))


class _Reader:
    """Goes through the nodes once and gathers what is wrong."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[Path, int] = {}
        self._nodes = 0

    def _say(self, path: Path, words: str, help: str = "") -> None:
        self.problems.append(Problem(path, words, help))

    def value(self, node: yaml.Node, kind: inspect.Type, path: Path) -> Any:
        """The node as `kind` wants it, or None with a problem noted."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._nodes += 1
        if len(path) > MAX_DEPTH or self._nodes > MAX_NODES:
            if self._nodes <= MAX_NODES or not any("too much" in problem.words for problem in self.problems):
                self._say(path[:MAX_DEPTH], "there is too much in it, or it refers to itself")
            return None
        if isinstance(kind, inspect.Metadata):
            unit = (kind.extra or {}).get(UNIT)
            return self._quantity(node, unit, path) if unit else self.value(node, kind.type, path)
        if node.tag.removeprefix(_CORE) not in _TAGS:
            self._say(path, f"the tag {node.tag.removeprefix(_CORE)} has no meaning here")
            return None
        if isinstance(kind, inspect.UnionType):
            return self._union(node, kind, path)
        readers: dict[type[inspect.Type], Callable[..., Any]] = {
            inspect.StructType: self._struct, inspect.DictType: self._mapping,
            inspect.ListType: self._list, inspect.VarTupleType: self._list, inspect.AnyType: self._any,
        }  # fmt: skip
        read: Callable[..., Any] = readers.get(type(kind), self._scalar)
        return read(node, kind, path)

    def _union(self, node: yaml.Node, kind: inspect.UnionType, path: Path) -> Any:
        if isinstance(node, yaml.ScalarNode) and plain(node) is None and kind.includes_none:
            return None
        some = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(some) == 1:
            return self.value(node, some[0], path)
        fits = [one for one in some if _fits(node, one)]
        tagged = [one for one in fits if isinstance(one, inspect.StructType) and one.tag_field]
        if tagged:
            return self._tagged(node, tagged, path)
        if fits:
            words = (one for one in fits if isinstance(one, inspect.LiteralType))
            return self.value(node, next(words, fits[0]), path)
        self._say(path, f"{_told(node)} cannot stand here", f"Expected {_names(kind)}.")
        return None

    def _tagged(self, node: Any, kinds: list[inspect.StructType], path: Path) -> Any:
        field = kinds[0].tag_field or ""
        given = next((value.value for key, value in node.value if key.value == field), None)
        for kind in kinds:
            if kind.tag == given:
                return self.value(node, kind, path)
        known = [str(kind.tag) for kind in kinds]
        if given is None:
            self._say(path, f"{field!r} is missing", f"Known: {', '.join(known)}.")
        else:
            self._say((*path, field), f"{str(given)!r} is not known", _close(str(given), known))
        return None

    def _pairs(self, node: yaml.Node, path: Path) -> list[tuple[str, yaml.Node]] | None:
        if not isinstance(node, yaml.MappingNode):
            self._say(
                path, f"{_told(node)} stands where settings belong", "Write `key: value` lines, indented below it."
            )
            return None
        pairs: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            self.lines[*path, name] = key.start_mark.line + 1
            if not name:
                self._say(path, "a key must be a word")
            elif name in pairs:
                self._say((*path, name), "it is there twice")
            else:
                pairs[name] = value
        return list(pairs.items())

    def _struct(self, node: yaml.Node, kind: inspect.StructType, path: Path) -> Any:
        pairs = self._pairs(node, path)
        if pairs is None:
            return None
        fields = {field.encode_name: field for field in kind.fields}
        known = [*fields, *([kind.tag_field] if kind.tag_field else [])]
        made: dict[str, Any] = {}
        for name, value in pairs:
            if name in fields:
                made[name] = self.value(value, fields[name].type, (*path, name))
            elif name == kind.tag_field:
                made[name] = kind.tag
            else:
                self._say((*path, name), "it is not a setting", _close(name, known))
        missing = [name for name, field in fields.items() if field.required and name not in made]
        for name in missing:
            self._say(path, f"{name!r} is missing")
        return made

    def _mapping(self, node: yaml.Node, kind: inspect.DictType, path: Path) -> Any:
        pairs = self._pairs(node, path)
        if pairs is None:
            return None
        whole = isinstance(kind.key_type, inspect.IntType)
        made: dict[Any, Any] = {}
        for name, value in pairs:
            if whole and not _WHOLE.fullmatch(name):
                self._say((*path, name), "it must be a whole number")
            made[int(name) if whole and _WHOLE.fullmatch(name) else name] = self.value(
                value, kind.value_type, (*path, name)
            )
        return made

    def _list(self, node: yaml.Node, kind: inspect.ListType | inspect.VarTupleType, path: Path) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            self._say(path, f"{_told(node)} stands where a list belongs", "Write `- ` before each entry, or [a, b].")
            return None
        return [self.value(entry, kind.item_type, (*path, place)) for place, entry in enumerate(node.value)]

    def _any(self, node: yaml.Node, kind: inspect.AnyType, path: Path) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return plain(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(entry, kind, (*path, place)) for place, entry in enumerate(node.value)]
        return {name: self.value(value, kind, (*path, name)) for name, value in self._pairs(node, path) or ()}

    def _quantity(self, node: yaml.Node, unit: str, path: Path) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self._say(path, f"{_told(node)} stands where a quantity belongs", EXAMPLES[unit])
            return None
        try:
            return parse(node.value, unit)
        except ValueError as error:
            self._say(path, str(error), EXAMPLES[unit])
            return None

    def _scalar(self, node: yaml.Node, kind: inspect.Type, path: Path) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self._say(path, f"{_told(node)} stands where {_names(kind)} belongs")
            return None
        value = plain(node)
        if isinstance(kind, inspect.StrType):
            if isinstance(value, bool) or value is None:
                self._say(path, f"{_told(node)} stands where text belongs", "Put it in quotes if it is meant so.")
            return node.value
        if isinstance(kind, inspect.LiteralType):
            found = next((one for one in kind.values if str(one) == node.value), None)
            if found is None:
                self._say(path, f"{node.value!r} is not known", _close(node.value, [str(one) for one in kind.values]))
            return found
        if not _fits(node, kind):
            self._say(path, f"{_told(node)} stands where {_names(kind)} belongs")
            return None
        low, high = getattr(kind, "ge", None), getattr(kind, "le", None)
        if (low is not None and value < low) or (high is not None and value > high):
            self._say(path, f"{value} is outside of what it can be", _range(low, high))
        return value


def plain(node: yaml.ScalarNode) -> Any:
    """A scalar as YAML 1.2's core reads it; quoted text is text."""
    text: str = node.value
    if node.style is not None:
        return text
    if _NULL.fullmatch(text):
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _fits(node: yaml.Node, kind: inspect.Type) -> bool:
    """Whether a node is of the form that `kind` has."""
    if isinstance(kind, inspect.Metadata):
        return isinstance(node, yaml.ScalarNode) if (kind.extra or {}).get(UNIT) else _fits(node, kind.type)
    if isinstance(kind, inspect.AnyType):
        return True
    if isinstance(kind, inspect.LiteralType):
        return isinstance(node, yaml.ScalarNode) and node.value in map(str, kind.values)
    if not isinstance(node, yaml.ScalarNode):
        form = inspect.StructType | inspect.DictType, inspect.ListType | inspect.VarTupleType
        return isinstance(kind, form[0] if isinstance(node, yaml.MappingNode) else form[1])
    wanted: dict[type[inspect.Type], type | tuple[type, ...]] = {
        inspect.BoolType: bool, inspect.NoneType: type(None), inspect.IntType: int, inspect.FloatType: (int, float),
        inspect.StrType: object,
    }  # fmt: skip
    value = plain(node)
    if isinstance(value, bool) and isinstance(kind, inspect.IntType | inspect.FloatType):
        return False
    return isinstance(value, wanted.get(type(kind), ()))


def _told(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:60]) if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a group of settings"


def _names(kind: inspect.Type) -> str:
    """What a type is to people."""
    if isinstance(kind, inspect.Metadata):
        return f"a quantity in {(kind.extra or {})[UNIT]}" if (kind.extra or {}).get(UNIT) else _names(kind.type)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_names(one) for one in kind.types if not isinstance(one, inspect.NoneType))
    return {
        inspect.IntType: "a whole number", inspect.FloatType: "a number", inspect.BoolType: "true or false",
        inspect.StrType: "text", inspect.StructType: "settings", inspect.DictType: "settings",
        inspect.ListType: "a list", inspect.VarTupleType: "a list", inspect.LiteralType: "a word",
    }.get(type(kind), "something else")  # fmt: skip


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"Use {low} to {high}."
    return f"Use {low} or more." if low is not None else f"Use {high} or less."


def _close(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
