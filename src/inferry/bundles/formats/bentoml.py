"""BentoML's saved models: a model.yaml beside a plain file of a framework, which that framework's runtime serves."""

from __future__ import annotations

import re

import msgspec

from inferry.bundles.formats.files import FILES
from inferry.bundles.formats.mlflow import yaml_of
from inferry.bundles.requirements import merged
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

_VERSION = re.compile(r"[A-Za-z0-9.+!]{1,40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


def bentoml(tree: Tree) -> Detected | None:
    """A folder of BentoML's model store. The versions that it names pin what the file needs."""
    marker = tree.find("model.yaml")
    settings = yaml_of(marker) if marker is not None else None
    if marker is None or not isinstance(settings, dict) or "module" not in settings or "context" not in settings:
        return None
    saved = [path for path in tree.files if path.parent == marker.parent and path.stem == "saved_model"]
    served = [path for path in saved if tree.kind(path) in FILES]
    if len(served) != 1:
        what = f"saved by {str(settings['module'])[:60]!a}"
        names = ", ".join(f"{path.name[:40]!a} ({tree.kind(path).value})" for path in saved) or "no file saved_model"
        raise InvalidModel(
            f"This BentoML model {what} is not a plain file of a framework that is served: it holds {names}.",
            help="Save it in the framework's own format, or wrap it in a Python class with predict.",
        )
    found = FILES[tree.kind(served[0])](tree, served[0])
    return msgspec.structs.replace(
        found,
        requirements=_pinned(found.requirements, settings["context"]) if found.requirements else (),
        why=f"It is a BentoML model: {tree.kind(served[0]).value}.",
    )


def _pinned(lines: tuple[str, ...], context: object) -> tuple[str, ...]:
    """The requirement lines, at the versions of the frameworks that BentoML wrote down."""
    versions = context.get("framework_versions") if isinstance(context, dict) else None
    pins = {
        name.lower(): f"{name}=={version}"
        for name, version in (versions if isinstance(versions, dict) else {}).items()
        if _NAME.fullmatch(name) and isinstance(version, str) and _VERSION.fullmatch(version)
    }
    needed = [pin for name, pin in pins.items() if any(re.fullmatch(rf"{re.escape(name)}\b.*", line) for line in lines)]
    return merged(lines, needed)
