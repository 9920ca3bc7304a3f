"""OpenVINO models: the graph in an .xml file, its weights in the .bin file of the same name.

Data flow: .xml -> its head (root element, version), then each `<data offset size>` of it by pattern, never by
an XML parser, so that no entity is ever expanded -> how long the .bin must be -> Detected.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from inferry.bundles.requirements import merged
from inferry.bundles.sniff import HEAD, Kind
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

VERSIONS = {"10", "11"}
_NET = re.compile(rb"<net\s[^<>]{0,2000}\bversion\s*=\s*[\"'](\d{1,4})[\"']")
_DATA = re.compile(rb"<data\s([^<>]{1,4000})>")
_OFFSET = re.compile(rb"\boffset=\"(\d{1,18})\"")
_SIZE = re.compile(rb"\bsize=\"(\d{1,18})\"")
_MADE_BY = re.compile(rb"<Runtime_version\s+value=\"(\d{4}\.\d{1,2}\.\d{1,2})\b")
_AGAIN = "Save it again with openvino.save_model, or copy it again."


def openvino(tree: Tree, path: Path) -> Detected:
    """IR version 10 or 11 with the whole of its weights, at least in the OpenVINO that saved it."""
    name = f"{path.name[:80]!a}"
    with path.open("rb") as file:
        head = file.read(HEAD)
    if b"<!" in head.partition(b"<net")[0].replace(b"<!--", b""):
        raise InvalidModel(f"{name} declares a document type, which no OpenVINO model does.", help=_AGAIN)
    version = _NET.search(head)
    if version is None or version[1].decode() not in VERSIONS:
        said = version[1].decode() if version else "unknown"
        raise InvalidModel(
            f"{name} is an OpenVINO model in version {said} of the format; 10 and 11 are served.",
            help="Convert the model again with a current OpenVINO.",
        )
    end, made_by = _read(path, name)
    _check_weights(path, end, tree)
    return Detected(
        runtime="openvino",
        entry=tree.name(path),
        requirements=merged((f"openvino>={made_by}" if made_by else "openvino",), tree.asked(path)),
        why="It is an OpenVINO model.",
    )


def _read(path: Path, name: str) -> tuple[int, str]:
    """How many bytes of weights the graph points at, and the version that saved it ("" when it does not say)."""
    end = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if not mapped[-64:].rstrip().endswith(b"</net>"):
            raise InvalidModel(f"{name} is a truncated OpenVINO model.", help=_AGAIN)
        for data in _DATA.finditer(mapped):
            offset, size = _OFFSET.search(data[1]), _SIZE.search(data[1])
            if offset and size:
                end = max(end, int(offset[1]) + int(size[1]))
        made_by = _MADE_BY.search(mapped)
        return end, made_by[1].decode() if made_by else ""


def _check_weights(path: Path, end: int, tree: Tree) -> None:
    weights = path.with_suffix(".bin")
    name = f"{weights.name[:80]!a}"
    if end and weights not in tree.files:
        raise InvalidModel(
            f"The OpenVINO model keeps its weights in {name}, which was not given.",
            help="Deploy the folder that holds the .xml file together with its .bin file.",
        )
    if end and weights.stat().st_size < end:
        raise InvalidModel(f"The OpenVINO model's weights {name} are truncated.", help=_AGAIN)


FILES = {Kind.OPENVINO: openvino}
