"""Gradient boosters in the files that their own libraries write: XGBoost, LightGBM, CatBoost.

Data flow: the first and the last bytes of a file -> is it whole, and which version wrote it -> Detected.
What is inside is for the library to read, in the sandbox.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from inferry.bundles.requirements import merged
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

EDGE = 4096
_JSON_VERSION = re.compile(rb'"version"\s*:\s*\[\s*(\d{1,4})\s*,\s*(\d{1,4})\s*,\s*\d{1,4}\s*\]\s*\}\s*$')
_UBJ_VERSION = re.compile(rb"\x07version\[(?:\$.)?(?:#L\0{7}\x03)?[iU]?(.)[iU]?(.)[iU]?.\]?\}\s*$", re.DOTALL)
_LIGHTGBM_VERSION = re.compile(rb"\Atree\nversion=v(\d{1,4})\n")
_AGAIN = "Save or copy it again."


def xgboost(tree: Tree, path: Path) -> Detected:
    """JSON or UBJSON, by the release that wrote it: its version is the last thing in the file."""
    with path.open("rb") as file:
        head = file.read(EDGE)
        file.seek(max(0, path.stat().st_size - EDGE))
        tail = file.read()
    name = f"{path.name[:80]!a}"
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        raise InvalidModel(
            f"{name} is an XGBoost model in the old binary format, which XGBoost itself gave up.",
            help='Load it with the XGBoost that saved it, and save it as JSON: model.save_model("model.json").',
        )
    text, binary = _JSON_VERSION.search(tail), _UBJ_VERSION.search(tail)
    if text:
        major, minor = int(text[1]), int(text[2])
    elif binary:
        major, minor = binary[1][0], binary[2][0]
    else:
        raise InvalidModel(f"{name} is not a whole XGBoost model: it does not end with a version.", help=_AGAIN)
    wanted = f"xgboost>={major}.{minor},<{major + 1}" if major >= 2 else "xgboost>=2,<3"  # 2 reads what 1 wrote
    return _served("xgboost", tree, path, wanted)


def lightgbm(tree: Tree, path: Path) -> Detected:
    """The text format; each release reads those of all before it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        version = _LIGHTGBM_VERSION.search(mapped[:EDGE])
        release = int(version[1]) if version else 0
        trees = mapped.rfind(b"\nend of trees")
        rest = mapped[max(trees, 0) :]
    cut = b"\nparameters:" in rest and b"\nend of parameters" not in rest
    if not release or (release >= 3 and trees < 0) or cut:
        raise InvalidModel(f"{path.name[:80]!a} is a corrupt or truncated LightGBM model.", help=_AGAIN)
    release = max(release, 4)
    return _served("lightgbm", tree, path, f"lightgbm>={release},<{release + 1}")


def catboost(tree: Tree, path: Path) -> Detected:
    """CatBoost's own binary format: its head says how long the part with the trees is."""
    with path.open("rb") as file:
        head = file.read(8)
    core = int.from_bytes(head[4:8], "little")
    if not core or 8 + core > path.stat().st_size:
        raise InvalidModel(f"{path.name[:80]!a} is a corrupt or truncated CatBoost model.", help=_AGAIN)
    return _served("catboost", tree, path, "catboost>=1.2,<2")


def _served(runtime: str, tree: Tree, path: Path, wanted: str) -> Detected:
    return Detected(
        runtime=runtime,
        entry=tree.name(path),
        requirements=merged((wanted,), tree.asked(path)),
        why=f"It is {tree.kind(path).value}.",
    )


FILES = {Kind.XGBOOST: xgboost, Kind.LIGHTGBM: lightgbm, Kind.CATBOOST: catboost}
