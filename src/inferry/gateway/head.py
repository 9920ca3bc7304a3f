"""Head: the first lines of an HTTP request, parsed once and remembered.

Data flow: bytes up to the blank line -> cache -> Head. A client that sends the same kind of
request over a connection sends the same head each time, so most requests cost one dict lookup.
Only inference with a plain Content-Length is `fast`; everything else (other routes, chunked
bodies, Expect, upgrades) goes to the ordinary ASGI app on the same connection.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets

import httptools

from inferry.errors import HeadersTooLarge, InferryError, InvalidInput, TooLarge, UnsupportedMedia
from inferry.gateway.routes import door_of, file_door, media_door, prediction
from inferry.types import frames

MAX_HEAD = 64 << 10
MAX_CACHED_HEAD = 4 << 10
MAX_CACHED = 4096
MAX_HEADERS = 256

DIGITS = re.compile(rb"[0-9]{1,20}")
EVENTS = re.compile(rb"(?:^|,)[ \t]*text/event-stream[ \t]*(?:[;,]|$)", re.IGNORECASE)
LATER = re.compile(rb"(?:^|,)[ \t]*respond-async[ \t]*(?:[;,]|$)", re.IGNORECASE)
CSV = re.compile(rb"text/csv[ \t]*(?:;.*)?", re.IGNORECASE)
ID = re.compile(rb"[!-~]{1,128}")
TIMEOUT = re.compile(rb"[0-9]{1,6}(?:\.[0-9]{1,6})?")


class Head:
    """What the hot path needs of a request's head."""

    __slots__ = (
        "authorization", "chunks", "door", "endpoint", "expires", "fast", "flags", "headers", "id", "json_size",
        "keep_alive", "later", "length", "media", "raw", "revision", "ring", "timed", "timeout", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.raw = b""  # the bytes that this was read from
        self.fast = False
        self.door = frames.DOOR_PLAIN
        self.endpoint = b""
        self.version = b""
        self.revision = b""  # the number of the revision it wants
        self.id = b""  # what the client calls this request
        self.headers: list[tuple[bytes, bytes]] = []
        self.authorization = b""
        self.media = b""  # of a body that a package's own code may read: its content type, and what is accepted
        self.length = 0
        self.json_size = 0
        self.flags = 0
        self.timeout = 0.0
        self.later = False  # whether the client would rather have the answer later, as a job
        self.timed = False  # whether the client wants to know how long it took
        self.keep_alive = True
        self.chunks = True  # whether the client reads a chunked answer: not one of HTTP/1.0
        self.ring: object = None  # the key ring that found the key good, and until when that holds
        self.expires = 0.0


class BadHead(Exception):
    """A head that must be refused and the connection closed; `door` chooses the form of the answer."""

    def __init__(self, error: InferryError, door: int = frames.DOOR_PLAIN) -> None:
        super().__init__(error.message)
        self.error = error
        self.door = door


class _Collector:
    """Callbacks of httptools: target and headers of one head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip()))


class Heads:
    """The parser with its bounded memory."""

    def __init__(self, max_body: int) -> None:
        self.max_body = max_body
        self._known: dict[bytes, Head] = {}
        self._prefix = secrets.token_hex(6).encode()
        self._count = itertools.count()

    def next_id(self) -> bytes:
        """A name for a request whose client gives none."""
        return b"%b-%x" % (self._prefix, next(self._count))

    def get(self, data: bytes) -> Head:
        """The Head of `data`, which ends with the blank line. Raises BadHead."""
        head = self._known.get(data)
        if head is None:
            head = self._parse(data)
            head.raw = data
            if head.fast and len(data) <= MAX_CACHED_HEAD:
                if len(self._known) >= MAX_CACHED:
                    self._known.clear()
                self._known[data] = head
        return head

    def _parse(self, data: bytes) -> Head:
        collector = _Collector()
        parser = httptools.HttpRequestParser(collector)
        try:
            # We speak nothing else on this port: an offer to upgrade is passed over (RFC 9110, 7.8).
            with contextlib.suppress(httptools.HttpParserUpgrade):
                parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise BadHead(
                InvalidInput(f"The request is not valid HTTP: {error}.", help="Check the request line and headers."),
                door_of(collector.url),
            ) from error
        head = self.build(parser.get_method(), collector.url, collector.headers)
        head.chunks = parser.get_http_version() == "1.1"
        head.keep_alive = head.chunks and parser.should_keep_alive()
        return head

    def build(self, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> Head:
        """The Head of a parsed request. Raises BadHead."""
        head = Head()
        head.door = door_of(url)
        media = self._read_headers(head, headers)
        head.headers = headers
        target = prediction(url)
        if target is None or method != b"POST":
            head.fast = False
            return head
        head.door, head.endpoint, head.version = target
        if head.door == frames.DOOR_PLAIN:
            head.door = file_door(media)
        elif head.door == frames.DOOR_MLFLOW:
            head.door = media_door(media)
        if head.door in frames.POSTED:
            head.media = frames.pack_media(media, next((value for name, value in headers if name == b"accept"), b""))
            head.flags |= frames.FLAG_MEDIA
        return head

    def _read_headers(self, head: Head, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Fill `head`; sets `fast` when the body has a plain length. Returns the content type."""
        media = b""
        length, plain = self._read_framing(head, headers)
        for name, value in headers:
            if name == b"authorization":
                head.authorization = value
            elif name == b"inference-header-content-length":
                head.json_size = self._json_size(name, value, head.door)
            elif name == b"content-encoding":
                head.flags |= self._encoding(value, head.door)
            elif name == b"inferry-timeout":
                head.timeout = self._timeout(value, head.door)
            elif name == b"inferry-revision":
                head.revision = b"%d" % self._number(name, value, head.door)
            elif name in (b"inferry-request-id", b"x-request-id"):
                head.id = head.id or self._id(name, value, head.door)
            elif name == b"content-type":
                media = value
            elif name == b"prefer":
                head.later = head.later or LATER.search(value) is not None
            elif name == b"inferry-timing":
                head.timed = True
            elif name == b"accept" and head.door == frames.DOOR_PLAIN:
                head.flags |= self._accepted(value)
        head.fast = length is not None and plain and not head.later
        return media

    def _read_framing(self, head: Head, headers: list[tuple[bytes, bytes]]) -> tuple[bytes | None, bool]:
        """The body's length, and whether nothing but it frames the body."""
        if len(headers) > MAX_HEADERS:
            raise BadHead(
                HeadersTooLarge(f"The request has over {MAX_HEADERS} headers.", help="Send fewer."), head.door
            )
        length: bytes | None = None
        slow = chunked = False
        for name, value in headers:
            if name == b"content-length":
                if length is not None and length != value:
                    raise BadHead(InvalidInput("Two different Content-Length headers.", help="Send one."), head.door)
                length = value
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"expect":
                slow = True
        if chunked and length is not None:
            raise BadHead(
                InvalidInput("Both Content-Length and Transfer-Encoding were sent.", help="Send one of them."),
                head.door,
            )
        if length is not None:
            head.length = self._number(b"content-length", length, head.door)
            if head.length > self.max_body:
                raise BadHead(
                    TooLarge(
                        f"The body of {head.length} bytes is over the limit of {self.max_body}.",
                        help="Send fewer rows in a request, or binary tensors.",
                    ),
                    head.door,
                )
        return length, not chunked and not slow

    def _number(self, name: bytes, value: bytes, door: int) -> int:
        if not DIGITS.fullmatch(value):
            raise BadHead(
                InvalidInput(f"The header {name.decode()} must be a whole number.", help="Send its size in bytes."),
                door,
            )
        return int(value)

    def _json_size(self, name: bytes, value: bytes, door: int) -> int:
        size = self._number(name, value, door)
        if size > self.max_body:
            raise BadHead(
                InvalidInput(f"The header {name.decode()} is larger than any body.", help="Send the JSON part's size."),
                door,
            )
        return size

    def _timeout(self, value: bytes, door: int) -> float:
        if not TIMEOUT.fullmatch(value) or float(value) <= 0:
            raise BadHead(
                InvalidInput(
                    "The header inferry-timeout must be a number of seconds.", help="For example: inferry-timeout: 2.5"
                ),
                door,
            )
        return float(value)

    def _id(self, name: bytes, value: bytes, door: int) -> bytes:
        if not ID.fullmatch(value):
            raise BadHead(
                InvalidInput(
                    f"The header {name.decode()} must be 1 to 128 visible ASCII characters.", help="Send a UUID."
                ),
                door,
            )
        return value

    def _accepted(self, value: bytes) -> int:
        """The flags of what a client wants to have."""
        if EVENTS.search(value):
            return frames.FLAG_STREAM
        return frames.FLAG_CSV if CSV.fullmatch(value) else 0

    def _encoding(self, value: bytes, door: int) -> int:
        kinds = {b"identity": 0, b"gzip": frames.FLAG_GZIP, b"deflate": frames.FLAG_DEFLATE}
        kind = kinds.get(value.strip().lower())
        if kind is None:
            raise BadHead(
                UnsupportedMedia("This Content-Encoding is not supported.", help="Use gzip, deflate or none."), door
            )
        return kind
