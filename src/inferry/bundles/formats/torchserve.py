"""TorchServe model archives: a .mar file, or the folder it was packed from, told by MAR-INF/MANIFEST.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inferry.bundles.formats.mlflow import yaml_of
from inferry.bundles.requirements import merged, read_requirements
from inferry.bundles.scripts import needs, parsed
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

BUILT_IN = ("image_classifier", "image_segmenter", "object_detector")
_PACK_AGAIN = "Pack it again with torch-model-archiver."


def torchserve(tree: Tree) -> Detected | None:
    """Whatever has a manifest of torch-model-archiver."""
    manifest = next((path for path in tree.files if tree.name(path).endswith("MAR-INF/MANIFEST.json")), None)
    if manifest is None:
        return None
    said = tree.json(manifest)
    model = said.get("model") if isinstance(said, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("handler"), str):
        raise InvalidModel("The archive's MANIFEST.json does not name a handler.", help=_PACK_AGAIN)
    folder = manifest.parent.parent
    handler, _, function = model["handler"].partition(":")
    serialized = _file(folder, model, "serializedFile")
    model_file = _file(folder, model, "modelFile")
    config = _file(folder, model, "configFile")
    options = {
        "handler": handler,
        "function": function,
        "manifest": {"model": {str(key): value for key, value in model.items() if isinstance(value, str)}},
        "settings": yaml_of(config) or {} if config is not None else {},
    }
    extra = ["torch"] if serialized is not None or handler in BUILT_IN else []
    if handler in BUILT_IN:
        extra.append("pillow")
    elif (folder / handler).suffix == "" and not (folder / f"{handler}.py").is_file():
        raise InvalidModel(
            f"TorchServe's own handler {handler[:60]!a} is not served. Those that are: {', '.join(BUILT_IN)}.",
            help="Give a handler of your own: torch-model-archiver --handler FILE.py.",
        )
    else:
        entry = folder / (handler if handler.endswith(".py") else f"{handler}.py")
        if not entry.is_file() or ".." in handler:
            raise InvalidModel(f"The archive has no handler {handler[:80]!a}.", help=_PACK_AGAIN)
        parsed(entry, entry.name)
        options["handler"] = entry.name
    if model_file is not None:
        parsed(model_file, model_file.name)
    requirements, notes = needs(tree, manifest.parent, *extra)
    asked = _file(folder, model, "requirementsFile")
    if asked is not None:
        requirements = merged(requirements, read_requirements(asked))
    return Detected(
        runtime="torchserve",
        entry="" if folder == tree.folder else tree.name(folder),
        requirements=requirements,
        options=options,
        why="It is a TorchServe model archive.",
        notes=notes,
    )


def _file(folder: Path, model: dict[str, Any], key: str) -> Path | None:
    """A file that the manifest names: it must lie in the archive."""
    name = model.get(key)
    if not isinstance(name, str) or not name:
        return None
    if name.startswith("/") or ".." in name.split("/") or not (folder / name).is_file():
        raise InvalidModel(f"The archive's manifest names {name[:80]!a}, which is not in it.", help=_PACK_AGAIN)
    return folder / name
