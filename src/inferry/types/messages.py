"""Messages: Protocol Buffers by their descriptors, as dicts; for what is asked rarely.

Data flow: a FileDescriptorSet (made of .proto files by protoc) -> tables of fields by message ->
`encode` a dict, `decode` a message. A dict holds what JSON would: enums by their name, nested
messages as dicts, bytes as they are. A field that is not there is not in the dict; one that the
descriptors do not know is passed over.

Nothing is read before it is needed: a platform that is never asked by gRPC pays nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from inferry.types.protobuf import (
    BYTES,
    WireError,
    delimited,
    fields,
    integer,
    read_varint,
    signed,
    submessages,
    text,
    varint,
)

DOUBLE, FLOAT, INT64, UINT64, INT32, BOOL, STRING, MESSAGE, BINARY, UINT32, ENUM = 1, 2, 3, 4, 5, 8, 9, 11, 12, 13, 14
REPEATED = 3
FLOATS = {DOUBLE: struct.Struct("<d"), FLOAT: struct.Struct("<f")}


class Field(NamedTuple):
    """One field of a message; `of`: the full name of its message or enum."""

    name: str
    number: int
    kind: int
    repeated: bool
    of: str


class Tables(NamedTuple):
    """What a set of descriptors holds, by full name; `files`: descriptor by file name; `symbols`: file by symbol."""

    fields: dict[str, list[Field]]
    maps: set[str]
    enums: dict[str, dict[str, int]]
    services: list[str]
    files: dict[str, bytes]
    symbols: dict[str, str]


class Messages:
    """Reads and writes the messages of a descriptor set."""

    def __init__(self, load: Callable[[], bytes]) -> None:
        self._load = load

    @cached_property
    def tables(self) -> Tables:
        """The descriptors, read on first use."""
        tables = Tables({}, set(), {}, [], {}, {})
        for file in submessages(memoryview(self._load()), 1):
            read_file(tables, file)
        return tables

    def encode(self, name: str, values: Mapping[str, Any]) -> bytes:
        """The message of this full name."""
        return b"".join(self._fields(name, values))

    def _fields(self, name: str, values: Mapping[str, Any]) -> Iterator[bytes]:
        for field in self.tables.fields[name]:
            value = values.get(field.name)
            if value is None:
                continue
            if field.of in self.tables.maps:
                value = [{"key": key, "value": item} for key, item in value.items()]
            if not field.repeated:
                if value or field.kind == MESSAGE:
                    yield self._field(field, value)
            elif field.kind in (STRING, BINARY, MESSAGE) or field.kind in FLOATS:
                for item in value:
                    yield self._field(field, item)
            elif value:
                yield delimited(field.number, b"".join(varint(self._number(field, item)) for item in value))

    def _field(self, field: Field, value: Any) -> bytes:
        if field.kind == MESSAGE:
            return delimited(field.number, self.encode(field.of, value))
        if field.kind == STRING:
            return delimited(field.number, value.encode())
        if field.kind == BINARY:
            return delimited(field.number, value)
        if field.kind in FLOATS:
            wire = 1 if field.kind == DOUBLE else 5
            return varint(field.number << 3 | wire) + FLOATS[field.kind].pack(value)
        return integer(field.number, self._number(field, value))

    def _number(self, field: Field, value: Any) -> int:
        return self.tables.enums[field.of][value] if field.kind == ENUM else int(value)

    def decode(self, name: str, message: bytes | memoryview) -> dict[str, Any]:
        """The values of a message. Raises WireError."""
        known = {field.number: field for field in self.tables.fields[name]}
        values: dict[str, Any] = {}
        for number, wire, value in fields(memoryview(message)):
            field = known.get(number)
            if field is None:
                continue
            if not field.repeated:
                values[field.name] = self._value(field, value)
            elif field.of in self.tables.maps:
                entry = self._value(field, value)
                values.setdefault(field.name, {})[entry.get("key", "")] = entry.get("value", {})
            elif wire == BYTES and field.kind not in (STRING, BINARY, MESSAGE) and isinstance(value, memoryview):
                values.setdefault(field.name, []).extend(self._packed(field, value))
            else:
                values.setdefault(field.name, []).append(self._value(field, value))
        return values

    def _value(self, field: Field, value: int | memoryview) -> Any:
        if isinstance(value, int):
            if field.kind in (STRING, BINARY, MESSAGE) or field.kind in FLOATS:
                raise WireError(f"{field.name} is of the wrong type")
            return self._plain(field, value)
        if field.kind == MESSAGE:
            return self.decode(field.of, value)
        if field.kind == STRING:
            return text(value)
        if field.kind == BINARY:
            return bytes(value)
        if field.kind in FLOATS and len(value) == FLOATS[field.kind].size:
            return FLOATS[field.kind].unpack(value)[0]
        raise WireError(f"{field.name} is of the wrong type")

    def _packed(self, field: Field, value: memoryview) -> Iterator[Any]:
        if field.kind in FLOATS:
            layout = FLOATS[field.kind]
            if len(value) % layout.size:
                raise WireError(f"{field.name} ends inside a number")
            yield from (number for (number,) in layout.iter_unpack(value))
            return
        at = 0
        while at < len(value):
            number, at = read_varint(value, at)
            yield self._plain(field, number)

    def _plain(self, field: Field, value: int) -> Any:
        if field.kind == BOOL:
            return value != 0
        if field.kind == ENUM:
            return next((name for name, known in self.tables.enums[field.of].items() if known == value), value)
        return signed(value) if field.kind in (INT32, INT64) else value


def read_file(tables: Tables, file: memoryview) -> None:
    """Add one FileDescriptorProto."""
    name, package = first(file, 1), first(file, 2)
    tables.files[name] = bytes(file)
    scope = f"{package}." if package else ""
    for message in submessages(file, 4):
        read_message(tables, message, scope, name)
    for enum in submessages(file, 5):
        read_enum(tables, enum, scope, name)
    for service in submessages(file, 6):
        full = scope + first(service, 1)
        tables.services.append(full)
        tables.symbols[full] = name
        for method in submessages(service, 2):
            tables.symbols[f"{full}.{first(method, 1)}"] = name


def read_message(tables: Tables, message: memoryview, scope: str, file: str) -> None:
    """Add one DescriptorProto and what is nested in it."""
    full = scope + first(message, 1)
    tables.symbols[full] = file
    tables.fields[full] = [read_field(field) for field in submessages(message, 2)]
    for nested in submessages(message, 3):
        read_message(tables, nested, f"{full}.", file)
    for enum in submessages(message, 4):
        read_enum(tables, enum, f"{full}.", file)
    for options in submessages(message, 7):
        if any(number == 7 and value for number, _, value in fields(options)):
            tables.maps.add(full)


def read_field(field: memoryview) -> Field:
    """One FieldDescriptorProto."""
    numbers = {number: value for number, _, value in fields(field) if isinstance(value, int)}
    of = first(field, 6).removeprefix(".")
    return Field(first(field, 1), numbers[3], numbers[5], numbers.get(4) == REPEATED, of)


def read_enum(tables: Tables, enum: memoryview, scope: str, file: str) -> None:
    """Add one EnumDescriptorProto."""
    full = scope + first(enum, 1)
    tables.symbols[full] = file
    tables.enums[full] = {
        first(value, 1): next((n for k, _, n in fields(value) if k == 2 and isinstance(n, int)), 0)
        for value in submessages(enum, 2)
    }


def first(message: memoryview, number: int) -> str:
    """A string field's value, empty when it is not there."""
    return next((text(value) for value in submessages(message, number)), "")
