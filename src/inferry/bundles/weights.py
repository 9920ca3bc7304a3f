"""Weights: the files that folders keep a model's numbers in, checked before a framework sees them.

Data flow: folder -> the one file, or the shards that an index names -> each there, inside the folder, whole: a
safetensors header is read and its offsets compared with the file's size. Nothing is unpickled.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
FILES = (SAFE, f"{SAFE}.index.json", PICKLED, f"{PICKLED}.index.json")
MAX_HEADER = 100 << 20
MAX_SHARDS = 1000
AGAIN = "Download or save the folder again."


def find_weights(tree: Tree, folder: Path) -> Path | None:
    """The file, or the index of shards, that transformers would load from a folder; None without one."""
    return next((folder / name for name in FILES if folder / name in tree.files), None)


def check_weights(tree: Tree, path: Path) -> None:
    """Raise InvalidModel when the weights are not all there."""
    for part in _shards(tree, path) if path.name.endswith(".json") else [path]:
        shown = f"{tree.name(part)[:80]!a}"
        if tree.kind(part) is Kind.EMPTY:
            raise InvalidModel(f"{shown} is empty.", help=AGAIN)
        if tree.kind(part) is Kind.LFS:
            raise InvalidModel(
                f"{shown} is a Git LFS pointer, not the weights themselves.", help="Run git lfs pull in the folder."
            )
        if part.name.endswith(".safetensors"):
            check_safetensors(part, shown)


def _shards(tree: Tree, index: Path) -> list[Path]:
    said = tree.json(index)
    names = said.get("weight_map") if isinstance(said, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise InvalidModel(f"{index.name} is not an index of weights.", help=AGAIN)
    wanted = sorted(set(names.values()))
    if len(wanted) > MAX_SHARDS:
        raise InvalidModel(f"{index.name} names more than {MAX_SHARDS} files.", help=AGAIN)
    for name in wanted:
        if "/" in name or "\\" in name or name in {"", ".", ".."}:
            raise InvalidModel(
                f"{index.name} names {name[:80]!a}, which is outside its own folder.",
                help="Keep all shards beside the index.",
            )
        if index.parent / name not in tree.files:
            raise InvalidModel(f"{index.name} names {name[:80]!a}, which was not given.", help=AGAIN)
    return [index.parent / name for name in wanted]


def check_safetensors(path: Path, shown: str) -> None:
    """8 bytes that say how long the header is, the header in JSON, the numbers. InvalidModel when they disagree."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise InvalidModel(
                f"{shown} is truncated, or not a safetensors file: its header of {length} bytes does not fit in it.",
                help=AGAIN,
            )
        text = file.read(length)
    try:
        header = _HEADER.decode(text)
        ends = [_TENSOR.decode(raw).data_offsets[1] for name, raw in header.items() if name != "__metadata__"]
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise InvalidModel(f"{shown} has a damaged header.", help=AGAIN) from None
    if not ends or max(ends) != size - 8 - length:
        raise InvalidModel(
            f"{shown} is truncated: its header promises {max(ends, default=0)} bytes of numbers, "
            f"and it holds {size - 8 - length}.",
            help=AGAIN,
        )


class _Tensor(msgspec.Struct):
    data_offsets: tuple[int, int]


_HEADER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TENSOR = msgspec.json.Decoder(_Tensor)
