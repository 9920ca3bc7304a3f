"""TensorFlow SavedModel folders, alone or in TF Serving's numbered version folders.

    saved_model.pb  variables/...              the folder itself, or one somewhere below
    NAME/1/saved_model.pb  NAME/2/...          the highest number is served

Data flow: saved_model.pb, mapped -> its graph for serving: tags, signature names, TensorFlow's version, whether
it has variables -> the one signature to serve -> Detected.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from inferry.bundles.requirements import merged
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected
from inferry.types.protobuf import BYTES, WireError, fields, submessages, text

DEFAULT = "serving_default"
_AGAIN = "Save it again with model.export(FOLDER) or tf.saved_model.save, or copy the whole folder again."
_RELEASE = re.compile(r"\d{1,4}\.\d{1,4}(?:\.\d{1,4})?")


@dataclass
class _Graph:
    """What one MetaGraphDef says of itself."""

    version: str = ""
    tags: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    saved: bool = False


def saved_model(tree: Tree) -> Detected | None:
    """A SavedModel and the signature of it that is served; None where another file says what the folder is."""
    found = [path.parent for path in tree.files if path.name == "saved_model.pb"]
    if not found:
        if tree.find("saved_model.pbtxt"):
            raise InvalidModel("The SavedModel is in text form (saved_model.pbtxt), which is not served.", help=_AGAIN)
        return None
    if tree.find("MLmodel", "config.pbtxt") or any(path.suffix == ".py" and tree.predicts(path) for path in tree.files):
        return None
    folder, notes = _chosen(tree, found)
    graph = _graph(folder / "saved_model.pb")
    if graph.saved and not (folder / "variables" / "variables.index").is_file():
        raise InvalidModel(
            "The SavedModel's weights (the folder variables) were not given.",
            help="Deploy the whole folder that holds saved_model.pb.",
        )
    version = _RELEASE.match(graph.version)
    requirement = f"tensorflow>={version[0]}" if version else "tensorflow"
    name = "" if folder == tree.folder else tree.name(folder)
    return Detected(
        runtime="tensorflow",
        entry=name,
        requirements=merged((requirement,), tree.asked(folder / "saved_model.pb")),
        options={"signature": _signature(graph.signatures), "tags": graph.tags},
        why=f"It is a TensorFlow SavedModel{f' in the folder {name[:60]!a}' if name else ''}.",
        notes=notes,
    )


def _chosen(tree: Tree, found: list[Path]) -> tuple[Path, tuple[str, ...]]:
    """The only SavedModel, or the highest of the numbered ones of one model."""
    if len(found) == 1:
        return found[0], ()
    numbered = all(re.fullmatch(r"[0-9]{1,18}", path.name) for path in found)
    if not numbered or len({path.parent for path in found}) > 1:
        names = ", ".join(repr(tree.name(path)[:60]) for path in found[:5])
        raise InvalidModel(f"The folder holds {len(found)} SavedModels: {names}.", help="Deploy one of them.")
    *others, highest = sorted(found, key=lambda path: int(path.name))
    left = ", ".join(path.name for path in others[:20])
    return highest, (f"Version {highest.name} of the folder is served, the highest; {left} is not.",)


def _signature(names: list[str]) -> str:
    offered = sorted(name for name in names if name != "__saved_model_init_op")
    if DEFAULT in offered:
        return DEFAULT
    if len(offered) == 1:
        return offered[0]
    if not offered:
        raise InvalidModel("The SavedModel has no signature to serve.", help=_SIGN)
    shown = ", ".join(f"{name[:60]!a}" for name in offered[:10])
    raise InvalidModel(f"The SavedModel has no {DEFAULT}, but {len(offered)} signatures: {shown}.", help=_SIGN)


_SIGN = f'Save it with signatures={{"{DEFAULT}": function}}.'


def _graph(path: Path) -> _Graph:
    """The graph that is tagged for serving, else the only one. Raises InvalidModel."""
    if not path.stat().st_size:
        raise InvalidModel("The SavedModel's saved_model.pb is empty.", help=_AGAIN)
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))  # unmapped with its last slice
    try:
        graphs = list(_graphs(view))
    except WireError:
        raise InvalidModel("The SavedModel's saved_model.pb is corrupt or truncated.", help=_AGAIN) from None
    serving = [graph for graph in graphs if "serve" in graph.tags] or graphs
    if len(serving) != 1:
        raise InvalidModel(f"The SavedModel holds {len(serving)} graphs for serving, not one.", help=_AGAIN)
    return serving[0]


def _graphs(view: memoryview) -> Iterator[_Graph]:
    for message in submessages(view, 2):
        graph = _Graph()
        for number, wire, value in fields(message):
            if wire != BYTES or not isinstance(value, memoryview):
                continue
            if number == 1:  # MetaInfoDef
                graph.tags = [text(tag[:200]) for tag in submessages(value, 4)]
                graph.version = next((text(said[:40]) for said in submessages(value, 5)), "")
            elif number == 3:  # SaverDef
                graph.saved = True
            elif number == 5:  # an entry of the map of signatures
                graph.signatures.append(next((text(name[:200]) for name in submessages(value, 1)), ""))
        yield graph
