"""HPACK (RFC 7541): header blocks of HTTP/2 -> fields, and constant fields -> blocks.

Data flow: block -> Decoder, which keeps the dynamic table of one connection -> (name, value)
pairs. `generation` moves whenever a block changes that table: two equal blocks mean the same
as long as it has not moved in between, which is what the connection's memory of blocks rests on.
Nothing is ever put into the peer's table: `literal` writes the same bytes for every connection.

The Huffman code is canonical, so the length of each symbol's code is all that is kept of it.
Everything is bounded: the table by its size, the fields of one block by `max_size`.
"""

from __future__ import annotations

from collections import deque

Field = tuple[bytes, bytes]

TABLE_SIZE = 4096
OVERHEAD = 32
MAX_INTEGER = 1 << 28

STATIC: tuple[Field, ...] = tuple(
    (name.encode(), value.encode())
    for name, _, value in (
        line.partition("=")
        for line in """\
:authority
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset
accept-encoding=gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate""".splitlines()
    )
)
NAME_INDEX = {name: index for index, (name, _) in reversed(list(enumerate(STATIC, 1)))}

CODE_LENGTHS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b080606060505050606060606"
    "060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e060f050605060506060605070706060605"
    "06070605050607070707070f0b0e0d1c14161414161616171617171717171817181816171817171717151617161717181615141616171715"
    "1716161815161717151516151716171714161616171616171a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b"
    "14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)
"""The length in bits of each symbol's Huffman code; the last symbol is the end of the string."""
END = len(CODE_LENGTHS) - 1
LONGEST = max(CODE_LENGTHS)


class HpackError(Exception):
    """The block cannot be decoded, and with it the connection's table is lost."""


class TooManyFields(HpackError):
    """The fields of a block add up to more than is allowed."""


def _steps() -> tuple[tuple[int, int, int, tuple[int, ...]], ...]:
    """For each code length that exists: length, first code, end of the codes left-aligned, symbols."""
    steps, code, before = [], 0, 0
    for length in sorted(set(CODE_LENGTHS)):
        symbols = tuple(symbol for symbol, size in enumerate(CODE_LENGTHS) if size == length)
        code <<= length - before
        steps.append((length, code, (code + len(symbols)) << (LONGEST - length), symbols))
        code, before = code + len(symbols), length
    return tuple(steps)


STEPS = _steps()


def _symbol(window: int) -> tuple[int, int]:
    """The symbol whose code begins a window of LONGEST bits, and the code's length."""
    for length, first, end, symbols in STEPS:
        if window < end:
            return symbols[(window >> (LONGEST - length)) - first], length
    raise HpackError("no such code")  # there is one for every window


USUAL = [_symbol(octet << (LONGEST - 8)) for octet in range(256)]
"""The symbol and its length by the first eight bits, right where that is at most eight."""


def huffman_decode(data: bytes) -> bytes:
    """The text of a Huffman-coded string. Raises HpackError."""
    out = bytearray()
    bits = have = 0
    place, size = 0, len(data)
    while True:
        while have < LONGEST and place < size:
            bits = bits << 8 | data[place]
            place += 1
            have += 8
        if have < 8 and bits == (1 << have) - 1:  # what is left is padding
            return bytes(out)
        # the window is filled up with ones, as padding is
        window = bits >> (have - LONGEST) if have >= LONGEST else ((bits + 1) << (LONGEST - have)) - 1
        symbol, length = USUAL[window >> (LONGEST - 8)]
        if length > 8:
            symbol, length = _symbol(window)
        if length > have or symbol == END:
            raise HpackError("a Huffman string is cut off or holds its end symbol")
        out.append(symbol)
        have -= length
        bits &= (1 << have) - 1


def read_integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """The integer whose prefix is in the bits of `mask`, and where it ends. Raises HpackError."""
    try:
        value = block[at] & mask
        at += 1
        if value < mask:
            return value, at
        shift = 0
        while True:
            byte = block[at]
            at += 1
            value += (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise HpackError("an integer is too long")
    except IndexError:
        raise HpackError("the block ends inside an integer") from None
    if value > MAX_INTEGER:
        raise HpackError("an integer is too large")
    return value, at


def write_integer(value: int, mask: int, bits: int) -> bytes:
    """An integer with its prefix in the bits of `mask`, the other bits of the first byte being `bits`."""
    if value < mask:
        return bytes((bits | value,))
    out = bytearray((bits | mask,))
    value -= mask
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(name: bytes, value: bytes) -> bytes:
    """A field that leaves the peer's table as it is: an entry of the static table, or a literal without indexing."""
    if (name, value) in STATIC:
        return bytes((0x80 | STATIC.index((name, value)) + 1,))
    index = NAME_INDEX.get(name)
    known = write_integer(index, 0x0F, 0) if index else b"\0" + write_integer(len(name), 0x7F, 0) + name
    return known + write_integer(len(value), 0x7F, 0) + value


def block_of(*fields: Field) -> bytes:
    """A header block of such fields."""
    return b"".join(literal(name, value) for name, value in fields)


class Decoder:
    """The receiving end of one connection."""

    __slots__ = ("_entries", "_limit", "_size", "generation", "max_size")

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.generation = 0
        self._entries: deque[Field] = deque()
        self._size = 0
        self._limit = TABLE_SIZE

    def decode(self, block: bytes) -> list[Field]:
        """The fields of one block. Raises HpackError, after which nothing more can be decoded."""
        fields: list[Field] = []
        at, end, total = 0, len(block), 0
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = read_integer(block, at, 0x7F)
                field = self._entry(index)
            elif first & 0x60 == 0x20:
                if fields:
                    raise HpackError("a change of the table's size behind a field")
                size, at = read_integer(block, at, 0x1F)
                self._resize(size)
                continue
            else:
                keep = first & 0x40
                index, at = read_integer(block, at, 0x3F if keep else 0x0F)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = self._string(block, at)
                value, at = self._string(block, at)
                field = (name, value)
                if keep:
                    self._insert(field)
            fields.append(field)
            total += len(field[0]) + len(field[1]) + OVERHEAD
            if total > self.max_size:
                raise TooManyFields(f"over {self.max_size} bytes of header fields")
        return fields

    def _entry(self, index: int) -> Field:
        if 0 < index <= len(STATIC):
            return STATIC[index - 1]
        index -= len(STATIC) + 1
        if 0 <= index < len(self._entries):
            return self._entries[index]
        raise HpackError("an index that the table does not have")

    def _string(self, block: bytes, at: int) -> tuple[bytes, int]:
        coded = block[at : at + 1] >= b"\x80"
        size, at = read_integer(block, at, 0x7F)
        end = at + size
        if end > len(block):
            raise HpackError("the block ends inside a string")
        data = block[at:end]
        return (huffman_decode(data) if coded else data), end

    def _insert(self, field: Field) -> None:
        self.generation += 1
        self._entries.appendleft(field)
        self._size += len(field[0]) + len(field[1]) + OVERHEAD
        self._evict()

    def _resize(self, limit: int) -> None:
        if limit > TABLE_SIZE:
            raise HpackError("a table larger than was agreed")
        self.generation += 1
        self._limit = limit
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + OVERHEAD
