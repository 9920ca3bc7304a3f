"""PyTorch: TorchScript, exported programs, and weights with the Python class that they belong to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from inferry.bundles.module_classes import ModuleClass, module_classes, the_model
from inferry.bundles.requirements import merged, script_requirements
from inferry.bundles.sniff import Kind
from inferry.bundles.torch_files import damaged, globals_of, program_of, script_packages
from inferry.bundles.tree import Tree
from inferry.bundles.weights import check_safetensors
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

PACKAGES = {
    "torchvision": "torchvision", "torchaudio": "torchaudio", "timm": "timm", "transformers": "transformers",
    "lightning": "lightning", "pytorch_lightning": "pytorch-lightning", "torch_geometric": "torch-geometric",
}  # fmt: skip
WITH_CODE = (
    "Put the Python file with the model's class (an nn.Module) beside it and deploy the folder; "
    "constructor arguments go into a config.json. Or save the model with torch.export.save."
)
_WEIGHTS = (Kind.TORCH, Kind.SAFETENSORS)
_LAYERS = "torch.nn.modules"
_OWN = {"torch", "collections", "_codecs"}
_PLAIN = {"argparse", "datetime", "decimal", "enum", "functools", "numpy", "pathlib", "typing", "uuid"}
_BUILTINS = {
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set",
    "slice", "str", "tuple", "type",
}  # fmt: skip
_OTHERS = ("MLmodel", "MAR-INF", "modules.json", "model_index.json")
_OF_HUGGING_FACE = {"model_type", "architectures", "auto_map"}


def script(tree: Tree, path: Path) -> Detected:
    """TorchScript: the code is inside; operators of torchvision and the like need their package."""
    packages = sorted(PACKAGES.keys() & script_packages(path))
    return _found(tree, path, {"form": "script", "modules": packages}, packages, "It is a TorchScript model.")


def program(tree: Tree, path: Path) -> Detected:
    """A program of torch.export, opened by the torch that wrote it or a later one."""
    says = program_of(path)
    packages = sorted(PACKAGES.keys() & says.packages)
    why = f"It is a program exported by PyTorch{f' {says.torch}' if says.torch else ''}."
    torch = f"torch>={says.torch}" if says.torch else "torch"
    return _found(tree, path, {"form": "program", "modules": packages}, packages, why, torch)


def weights(tree: Tree, path: Path) -> Detected:
    """Weights with the class they belong to, or a whole pickled module whose class can be imported."""
    classes = module_classes(tree.of(Kind.PYTHON))
    if tree.kind(path) is Kind.SAFETENSORS:
        check_safetensors(path, f"{tree.name(path)[:80]!a}")
        chosen = _class(tree, path, classes)
        why = f"It is PyTorch weights of the class {chosen['class']}."
        return _found(tree, path, {"form": "safetensors", **chosen}, ["safetensors"], why)
    names = globals_of(path)
    code = _code_of_pickle(tree, path, names, classes)
    tops = {module.partition(".")[0] for module, _ in names}
    options = {"form": "checkpoint", "pickled": bool(tops - _OWN) or any(_is_layer(module) for module, _ in names)}
    packages = sorted(PACKAGES[top] for top in tops & PACKAGES.keys())
    if any(_is_layer(module) for module, _ in names):
        return _found(tree, path, {**options, "code": code}, packages, "It is a whole pickled PyTorch module.")
    chosen = _class(tree, path, classes)
    return _found(tree, path, {**options, **chosen}, packages, f"It is PyTorch weights of the class {chosen['class']}.")


def folder(tree: Tree) -> Detected | None:
    """One file of weights and the Python file of their class, where nothing predicts by itself."""
    found = tree.of(*_WEIGHTS)
    if tree.lone is not None or len(found) != 1 or tree.find(*_OTHERS):
        return None
    if any(tree.predicts(path) for path in tree.of(Kind.PYTHON)):
        return None
    config = tree.find("config.json")
    said = tree.json(config) if config else None
    if isinstance(said, dict) and said.keys() & _OF_HUGGING_FACE:
        return None
    return weights(tree, found[0]) if module_classes(tree.of(Kind.PYTHON)) else None


def truncated(_: Tree, path: Path) -> Detected:
    """Begins like a file of PyTorch's and has no end."""
    raise damaged(path)


def _found(
    tree: Tree, path: Path, options: dict[str, Any], packages: list[str], why: str, torch: str = "torch"
) -> Detected:
    asked = tree.asked(path)
    if options.get("code") and not asked:
        asked = script_requirements((tree.folder / options["code"]).read_bytes())
    return Detected(
        runtime="torch",
        entry=tree.name(path),
        requirements=merged((torch, *packages), asked),
        options={name: value for name, value in options.items() if value},
        why=why,
    )


def _class(tree: Tree, path: Path, classes: list[ModuleClass]) -> dict[str, str]:
    """The class that the weights belong to, its file, and the config.json with its arguments."""
    if not classes:
        raise InvalidModel(f"{tree.name(path)[:80]!a} holds weights without the code of the model.", help=WITH_CODE)
    places = dict.fromkeys((path.parent, tree.folder))
    config = next((place / "config.json" for place in places if (place / "config.json").is_file()), None)
    said = tree.json(config) if config else {}
    if not isinstance(said, dict):
        raise InvalidModel("config.json is not a JSON object.", help="Its keys are the constructor's parameters.")
    wanted = said.get("class", "")
    found = the_model(classes, wanted if isinstance(wanted, str) else "")
    return {"class": found.name, "code": tree.name(found.path), "config": tree.name(config) if config else ""}


def _is_layer(module: str) -> bool:
    """Whether a name of this module stands in pickled modules only, not in weights."""
    top = module.partition(".")[0]
    return module.startswith(_LAYERS) or top not in _OWN | _PLAIN | {"builtins", "__builtin__"}


def _code_of_pickle(tree: Tree, path: Path, names: set[tuple[str, str]], classes: list[ModuleClass]) -> str:
    """The file that defines its `__main__` ("" for none). InvalidModel when it calls what no model needs,
    or when a class of it is not at hand."""
    code, shown = "", f"{tree.name(path)[:80]!a}"
    for module, name in sorted(names):
        top = module.partition(".")[0]
        harmless = name in _BUILTINS if top in {"builtins", "__builtin__"} else top in _OWN | _PLAIN
        if harmless or top in PACKAGES:
            continue
        if top in sys.stdlib_module_names:
            raise InvalidModel(
                f"{shown} calls {f'{module}.{name}'[:80]!a} when it is opened, which no model needs.",
                help="Trust it only if you know who made it. Weights alone are safe: torch.save(model.state_dict()).",
            )
        home = next((one for one in classes if one.name == name), None) if top == "__main__" else None
        if home is not None:
            code = tree.name(home.path)
        elif top == "__main__" or not any(_holds(place, top) for place in (tree.folder, path.parent)):
            wanted = f"the class {name[:60]!a}" if top == "__main__" else f"the Python module {top[:60]!a}"
            raise InvalidModel(f"{shown} is a pickled model of {wanted}, which is not beside it.", help=WITH_CODE)
    return code


def _holds(place: Path, module: str) -> bool:
    return (place / f"{module}.py").is_file() or (place / module).is_dir()


LAYOUTS = (folder,)
FILES = {
    Kind.TORCHSCRIPT: script,
    Kind.TORCH_EXPORT: program,
    Kind.TORCH: weights,
    Kind.SAFETENSORS: weights,
    Kind.TORCH_TRUNCATED: truncated,
}
