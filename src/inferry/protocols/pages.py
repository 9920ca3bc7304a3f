"""Pages: the static files of the browser docs page, read from the package.

Data flow: GET /endpoints/{name}/docs -> docs.html, which loads /docs-assets/docs.js and
/docs-assets/docs.css; the script asks for a key and reads ./openapi.json with it. The files
hold nothing of any endpoint, so they need no key. They run no inline script and load nothing
from elsewhere, so the strictest content security policy fits.
"""

from __future__ import annotations

from importlib.resources import files

from inferry.errors import NotFound

CONTENT_TYPES = {
    "docs.html": "text/html; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
}


def asset(name: str) -> tuple[str, bytes]:
    """The content type and the bytes of a static file. Raises NotFound."""
    content_type = CONTENT_TYPES.get(name)
    if content_type is None:
        raise NotFound(f"There is no page asset {name[:40]!r}.", help=f"There are {', '.join(CONTENT_TYPES)}.")
    return content_type, files("inferry.protocols").joinpath("static", name).read_bytes()
