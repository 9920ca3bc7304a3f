"""JAX functions that jax.export serialized, compiled for the device when they are first called.

Data flow: file -> Exported -> inputs from its avals (symbolic sizes are free) -> a compiled call for each shape
-> its leaves as named arrays.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.export
import numpy as np

from inferry.errors import InvalidModel
from inferry.interfaces.runtime import LoadedModel
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.tensors import Array, datatype_of, rows_of
from inferry.types.signature import Signature, TensorSpec


class JaxRuntime(ArrayRuntime):
    """The runtime plugin "jax".

    It does not borrow: JAX may take an aligned array as it is, without a copy. It computes beside: a compiled
    function is pure, and Python's lock is free while it runs.
    """

    imports: ClassVar[tuple[str, ...]] = ("jax", "jax.export", "flatbuffers")
    borrows: ClassVar[bool] = False
    computes_beside: ClassVar[bool] = True

    def load(self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None) -> LoadedModel:
        """Open `artifact/entry`. Options: `threads` for one prediction (1), `calls` that may run at a time (1),
        `device` (cpu, cuda, tpu): used when the function was exported for it."""
        batchable = signature is not None and signature.batchable
        return super().load(artifact, entry, {**options, "batchable": batchable}, signature)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Deserialize. A batchable model is compiled for numbers of rows that are powers of two, and padded."""
        os.environ["NPROC"] = str(max(options.get("threads", 1), options.get("calls", 1)))  # its pool of threads
        jax.config.update("jax_enable_x64", True)  # or 64-bit inputs would be cut to 32
        exported = jax.export.deserialize(bytearray(path.read_bytes()))
        device = options.get("device", "cpu")
        jax.config.update("jax_platforms", device if device in exported.platforms else "cpu")
        if exported.nr_devices != 1:
            raise InvalidModel(
                f"The function was exported for {exported.nr_devices} devices.", help="Export it for one."
            )
        exported.mlir_module()  # or a damaged program would only be noticed when it is called
        names = _names(exported.in_tree, "input")
        specs = [_spec(name, aval) for name, aval in zip(names, exported.in_avals, strict=True)]
        dtypes = [np.dtype(aval.dtype) for aval in exported.in_avals]
        outputs = _names(exported.out_tree, "output")
        compiled = jax.jit(exported.call)

        def call(inputs: dict[str, Array]) -> dict[str, Array]:
            rows = rows_of(inputs) if options.get("batchable") else 0
            more = (1 << (rows - 1).bit_length()) - rows if rows else 0
            leaves = [
                _padded(inputs[name], more).astype(dtype, copy=False) for name, dtype in zip(names, dtypes, strict=True)
            ]
            args, kwargs = jax.tree_util.tree_unflatten(exported.in_tree, leaves)
            found = jax.tree_util.tree_leaves(compiled(*args, **kwargs))
            return {name: _array(one)[: rows or None] for name, one in zip(outputs, found, strict=True)}

        return Opened(call=call, inputs=specs, details={"jax": jax.__version__, "function": exported.fun_name})


def _padded(array: Array, more: int) -> Array:
    """The last row again, `more` times."""
    return np.concatenate([array, np.repeat(array[-1:], more, axis=0)]) if more else array


def _array(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.atleast_1d(array)


def _spec(name: str, aval: Any) -> TensorSpec:
    dtype = np.dtype(np.float32) if aval.dtype.name == "bfloat16" else aval.dtype
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biuf":
        raise InvalidModel(
            f"The function's input {name!r} is of type {aval.dtype.name}, which cannot be sent.",
            help="Export it with arrays of plain numbers as its inputs, random keys and the like closed over.",
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in aval.shape)
    return TensorSpec(name=name, datatype=datatype_of(np.empty(0, dtype)), shape=shape)


def _names(tree: Any, lone: str) -> list[str]:
    """A name for each leaf of arguments or results: the keys that lead to it, or its place.

    A lone leaf without a key is called `lone`, as the whole of them would be.
    """
    leaves = jax.tree_util.tree_flatten_with_path(jax.tree_util.tree_unflatten(tree, range(tree.num_leaves)))[0]
    words = [[str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey)] for path, _ in leaves]
    names = ["_".join(said) or (lone if len(leaves) == 1 else f"{lone}_{at}") for at, said in enumerate(words)]
    return names if len(set(names)) == len(names) else [f"{lone}_{at}" for at in range(len(names))]
