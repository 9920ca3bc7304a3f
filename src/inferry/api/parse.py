"""What handlers read of a request: a JSON body of a known shape, checked names, words and numbers.

Data flow: Request -> a value that fits, or InvalidInput that names what does not.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from inferry.errors import InvalidInput, TooLarge
from inferry.types.decoding import decoder
from inferry.types.names import check_name

MAX_JSON = 1 << 20

T = TypeVar("T")


async def read(request: Request, kind: type[T]) -> T:
    """A JSON body of a known shape. Raises InvalidInput."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON:
            raise TooLarge(f"The body is over {MAX_JSON} bytes.", help="This route takes a small JSON object.")
    try:
        return decoder(kind).decode(bytes(body) or b"{}")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The body does not fit this route: {error}.", help="See docs/control-api.md.") from error


def name_of(request: Request, field: str) -> str:
    """A checked name from the path."""
    return check_name(request.path_params[field], f"{field} name")


def version_of(request: Request) -> int | str:
    """A version from the path: its number, or `@` and an alias."""
    text = request.path_params["number"]
    if text.startswith("@"):
        return check_name(text[1:], "alias")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidInput(f"{text[:20]!a} is not a version number.", help="Use 1, 2, 3..., or @ALIAS.")
    return int(text)


def choice(request: Request, name: str, known: tuple[T, ...]) -> T:
    """One of a few words from the query, the first when it is left out. Raises InvalidInput."""
    text = request.query_params.get(name) or known[0]
    for word in known:
        if text == word:
            return word
    raise InvalidInput(f"The parameter {name} must be one of {', '.join(map(str, known))}.", help="Or leave it out.")


def number(request: Request, name: str, default: float, low: float, high: float) -> float:
    """A number from the query. Raises InvalidInput."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InvalidInput(
            f"The parameter {name} must be a number from {low:.0f} to {high:.0f}.",
            help=f"Leave it out for {default:g}.",
        )
    return value
