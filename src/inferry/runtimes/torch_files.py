"""Opening PyTorch's files: TorchScript, exported programs, weights into their class, whole pickled modules.

Data flow: path and the options that detection gave -> a module in evaluation mode, or an exported program;
InvalidModel in the words of the person who saved it for what does not fit. Only ever called inside the sandbox.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

from inferry.errors import InvalidModel
from inferry.runtimes.usercode import import_file
from inferry.types.text import first_line

with contextlib.suppress(ModuleNotFoundError):  # older releases have other modules
    # What torch.export.load imports at its first call, which takes seconds: done before a fork, not after it.
    import torch.export._trace
    import torch.export.pt2_archive._package

_OPERATOR = re.compile(rb'"target":\s*"torch\.ops\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)')
_UNKNOWN_OPERATOR = re.compile(r"Unknown (?:builtin )?op(?:erator)?[: ]+'?([\w:.]+)")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.")
_SHOWN = 4


def open_script(path: Path, options: Mapping[str, Any]) -> Any:
    """A TorchScript module."""
    _import(options)
    try:
        return torch.jit.load(str(path), map_location="cpu").eval()
    except RuntimeError as error:
        unknown = _UNKNOWN_OPERATOR.search(str(error))
        if unknown:
            raise _no_operator(unknown[1]) from error
        raise


def open_program(path: Path, options: Mapping[str, Any]) -> Any:
    """An ExportedProgram."""
    _import(options)
    for name in _operators(path):
        space, _, operator = name.partition("::")
        if not hasattr(getattr(torch.ops, space), operator):
            raise _no_operator(name)
    with path.open("rb") as file:
        return torch.export.load(file)


def open_weights(path: Path, options: Mapping[str, Any]) -> torch.nn.Module:
    """The module of a checkpoint or safetensors file, in evaluation mode."""
    artifact = Path(options["artifact"])
    code = import_file(artifact, artifact / options["code"]) if options.get("code") else None
    if "class" not in options:
        return _whole(path, artifact, code)
    assert code is not None
    made = _made(getattr(code, options["class"], None), options, artifact)
    if options["form"] == "safetensors":
        from safetensors.torch import load_file

        found: Any = load_file(path)
    else:
        found = _read(path, pickled=bool(options.get("pickled")))
    _fill(made, _unwrapped(found), options["class"])
    return made.eval()


def _import(options: Mapping[str, Any]) -> None:
    """Packages that bring operators of their own."""
    for name in options.get("modules", ()):
        importlib.import_module(name)


def _operators(path: Path) -> list[str]:
    """The operators that the program's JSON names, as "space::name"."""
    with zipfile.ZipFile(path) as archive:
        data = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".json"))
    return sorted({f"{found[1].decode()}::{found[2].decode()}" for found in _OPERATOR.finditer(data)})


def _no_operator(name: str) -> InvalidModel:
    return InvalidModel(
        f"The model uses the operator {first_line(name, 80)}, which is not in its environment.",
        help="Name the package that brings it in a requirements.txt beside the model, or export without it.",
    )


def _whole(path: Path, artifact: Path, code: Any) -> torch.nn.Module:
    for place in (path.parent, artifact):
        if str(place) not in sys.path:
            sys.path.insert(0, str(place))
    if code is not None:  # saved by a script: its classes are looked up in __main__
        vars(sys.modules["__main__"]).update({name: one for name, one in vars(code).items() if isinstance(one, type)})
    found = _read(path, pickled=True)
    if not isinstance(found, torch.nn.Module):
        raise InvalidModel(
            f"The file holds a {type(found).__name__}, not a module.",
            help="Save model.state_dict() and put the Python file with the class beside it.",
        )
    return found.eval()


def _read(path: Path, *, pickled: bool) -> Any:
    """What was saved. `pickled`: detection saw names that only a full unpickling brings back."""
    try:
        return torch.load(path, map_location="cpu", weights_only=not pickled)
    except pickle.UnpicklingError as error:
        raise InvalidModel(
            "The file is damaged, or calls something when it is opened that weights do not need.",
            help="Save the weights again: torch.save(model.state_dict(), PATH).",
        ) from error
    except AttributeError as error:
        raise InvalidModel(
            f"The pickled model does not fit its code: {first_line(error)}.",
            help="Put the Python file beside it as it was when the model was saved.",
        ) from error


def _made(found: Any, options: Mapping[str, Any], artifact: Path) -> torch.nn.Module:
    """The class called with what config.json says."""
    name = options["class"]
    if not isinstance(found, type):
        raise InvalidModel(f"The Python file has no class {name!r} once it is imported.")
    given: dict[str, Any] = {}
    if options.get("config"):
        given = msgspec.json.decode((artifact / options["config"]).read_bytes())
        given.pop("class", None)
    parameters = [one for one in inspect.signature(found).parameters.values() if one.kind is not one.VAR_POSITIONAL]
    open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters)
    known = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
    missing = [one.name for one in parameters if one.default is one.empty and one.name in known - given.keys()]
    if missing:
        raise InvalidModel(
            f"The class {name} needs {', '.join(missing[:8])} to be made.",
            help=f'Say it in a config.json beside the weights, such as {{"{missing[0]}": ...}}.',
        )
    unknown = [key for key in given if key not in known and not open_ended]
    if unknown:
        raise InvalidModel(
            f"config.json has {', '.join(map(repr, unknown[:5]))}, which the class {name} does not take.",
            help=f"It takes: {', '.join(sorted(known)) or 'nothing'}.",
        )
    made = found(**given)
    if not isinstance(made, torch.nn.Module):
        raise InvalidModel(f"The class {name} is not an nn.Module.")
    return made


def _unwrapped(found: Any) -> dict[str, torch.Tensor]:
    """The state_dict in a checkpoint: under its usual names, without the prefix of a wrapper."""
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not any(isinstance(one, torch.Tensor) for one in found.values()):
        raise InvalidModel(
            f"The file holds a {type(found).__name__} without weights.",
            help="Save the weights: torch.save(model.state_dict(), PATH).",
        )
    kept = {str(key): one for key, one in found.items() if isinstance(one, torch.Tensor)}
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in kept):
            kept = {key.removeprefix(prefix): one for key, one in kept.items()}
    return kept


def _fill(module: torch.nn.Module, weights: dict[str, torch.Tensor], name: str) -> None:
    """Put the weights in. InvalidModel naming what is missing, too much or of another shape."""
    own = module.state_dict(keep_vars=True)
    shared = {id(own[key]) for key in weights.keys() & own.keys()}
    missing = [key for key, one in own.items() if key not in weights and id(one) not in shared]
    surplus = [key for key in weights if key not in own]
    shapes = [
        f"{key} is {list(weights[key].shape)} and not {list(one.shape)}"
        for key, one in own.items()
        if key in weights and isinstance(one, torch.Tensor) and weights[key].shape != one.shape
    ]
    told = [*_told("missing", missing), *_told("not in the class", surplus), *shapes[:_SHOWN]]
    if told:
        raise InvalidModel(
            f"The weights do not fit the class {name}: {'; '.join(told)}.",
            help="Is it the class, and the config.json, that they were trained with?",
        )
    module.load_state_dict(weights, strict=False)


def _told(what: str, keys: list[str]) -> list[str]:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return [f"{what}: {', '.join(keys[:_SHOWN])}{more}"] if keys else []
