"""MLflow model folders: any flavor that MLflow can load as a Python function, marked by a file MLmodel.

The environment is what the folder asks for, with the package mlflow-skinny at the version that saved the
model where the folder names mlflow: the same loading code without the tracking server and its packages.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from inferry.bundles.requirements import check_line, merged, read_requirements
from inferry.bundles.tree import Tree
from inferry.bundles.yaml import YamlError, read_yaml
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

MAX_BYTES = 8 << 20
_SAVE_AGAIN = "Save the model again with mlflow.<flavor>.save_model, and deploy that folder."
_WHOLE = re.compile(r"(?i)mlflow(?=\s*(?:[=<>!~;(]|$))")


def mlflow(tree: Tree) -> Detected | None:
    """A folder with an MLmodel file; the nearest to the top."""
    marker = tree.find("MLmodel")
    if marker is None:
        return None
    settings = yaml_of(marker)
    flavors = settings.get("flavors") if isinstance(settings, dict) else None
    if not isinstance(flavors, dict):
        raise InvalidModel("The MLmodel file names no flavors.", help=_SAVE_AGAIN)
    function = flavors.get("python_function")
    if not isinstance(function, dict):
        names = ", ".join(f"{str(name)[:40]!a}" for name in list(flavors)[:8]) or "none"
        raise InvalidModel(
            f"MLflow cannot load this model as a Python function: its flavors are {names}.", help=_SAVE_AGAIN
        )
    _check_files(marker.parent, function)
    return Detected(
        runtime="mlflow",
        entry="" if marker.parent == tree.folder else tree.name(marker.parent),
        requirements=_requirements(marker.parent, function, settings.get("mlflow_version")),
        why="It is an MLflow model folder.",
        notes=_notes(function),
    )


def yaml_of(path: Path) -> Any:
    """A small YAML file's value. Raises InvalidModel, saying what cannot be read."""
    name = f"{path.name[:80]!a}"
    if path.stat().st_size > MAX_BYTES:
        raise InvalidModel(f"{name} is too large to be read.", help=_SAVE_AGAIN)
    try:
        return read_yaml(path.read_text("utf-8"))
    except UnicodeDecodeError:
        raise InvalidModel(f"{name} is not text in UTF-8.", help=_SAVE_AGAIN) from None
    except YamlError as error:
        raise InvalidModel(
            f"{name} cannot be read as YAML: {error}.", help="Mend it, or save the model again."
        ) from None


def _check_files(folder: Path, function: dict[str, Any]) -> None:
    """The model's data lies where the MLmodel file says."""
    for key in ("data", "model_path", "python_model", "code"):
        name = function.get(key)
        if not isinstance(name, str) or not name:
            continue
        if name.startswith("/") or ".." in name.split("/"):
            raise InvalidModel(f"The MLmodel file points outside its own folder ({name[:80]!a}).", help=_SAVE_AGAIN)
        if not (folder / name).exists():
            raise InvalidModel(
                f"The MLmodel file names {name[:80]!a}, which was not given.", help="Deploy the whole folder."
            )


def _requirements(folder: Path, function: dict[str, Any], version: Any) -> tuple[str, ...]:
    """requirements.txt, else the pip lines of python_env.yaml or conda.yaml."""
    named = function.get("env")
    files = named if isinstance(named, dict) else {"conda": named}
    path = folder / "requirements.txt"
    lines: tuple[str, ...] = ()
    if path.is_file():
        lines = read_requirements(path)
    else:
        for key, usual in (("virtualenv", "python_env.yaml"), ("conda", "conda.yaml")):
            name = files.get(key) or usual
            place = folder / name if isinstance(name, str) and "/" not in name else folder / usual
            if place.is_file() and not lines:
                lines = _pip_lines(place)
    skinny = tuple(_WHOLE.sub("mlflow-skinny", line, count=1) for line in lines)
    saved = isinstance(version, str) and re.fullmatch(r"[0-9]+(\.[0-9]+){1,3}", version)
    return merged((f"mlflow-skinny=={version}" if saved else "mlflow-skinny", "pandas"), skinny)


def _pip_lines(path: Path) -> tuple[str, ...]:
    settings = yaml_of(path)
    wanted = settings.get("dependencies") if isinstance(settings, dict) else None
    found: list[str] = []
    for item in wanted if isinstance(wanted, list) else []:
        inner = item.get("pip") if isinstance(item, dict) else None
        if isinstance(inner, list):
            found += [str(line) for line in inner]
        elif isinstance(item, str) and path.name == "python_env.yaml":
            found.append(item)
    return tuple(check_line(line.strip(), path.name) for line in found)


def _notes(function: dict[str, Any]) -> tuple[str, ...]:
    saved, ours = function.get("python_version"), f"{sys.version_info.major}.{sys.version_info.minor}"
    series = ".".join(str(saved).split(".")[:2])
    if saved is None or series == ours:
        return ()
    return (f"The model was saved with Python {str(saved)[:20]}, and is served with {ours}.",)
