"""TensorFlow SavedModels: one signature of them, called as TensorFlow loaded it.

Data flow: folder -> loaded graph -> the signature that detection chose -> `call`: named arrays -> constants ->
the function -> named arrays; text goes in and out as UTF-8.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from inferry.errors import InvalidModel
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.tensors import Array
from inferry.types.signature import TensorSpec

_TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "bfloat16": "FP32", "float32": "FP32",
    "float64": "FP64", "string": "BYTES",
}  # fmt: skip
SPARE = 512 << 20  # bytes that TensorFlow maps for its threads and its first operations
_UNKNOWN_OP = re.compile(r"Op type not registered '([^']{1,100})'")


@dataclass(frozen=True, kw_only=True)
class Native:
    """For a converter: the function from named tensors to named tensors, and the specs of what it is given.

    `keep`: what must live as long as the function.
    """

    call: Callable[[dict[str, Any]], Mapping[str, Any]]
    given: Mapping[str, Any]
    keep: Any = None


class TensorflowRuntime(ArrayRuntime):
    """The runtime plugin "tensorflow". Options: `signature` and `tags` of the graph to serve."""

    imports: ClassVar[tuple[str, ...]] = ("inferry.runtimes.tensorflow_import",)
    computes_beside: ClassVar[bool] = True

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Load the folder and take the signature."""
        from inferry.runtimes.tensorflow_import import tf

        prepare(options)
        try:
            loaded = tf.saved_model.load(str(path), tags=options["tags"])
        except (RuntimeError, tf.errors.OpError) as error:
            missing = _UNKNOWN_OP.search(str(error))
            if missing is None:
                raise
            raise InvalidModel(
                f"The SavedModel uses the operation {missing[1]!a}, which TensorFlow does not have by itself.",
                help="Export the model with TensorFlow's own operations only.",
            ) from error
        function = loaded.signatures[options["signature"]]
        given = function.structured_input_signature[1]
        answers = function.structured_outputs
        return Opened(
            call=lambda inputs: arrays_of(function(**constants(inputs, given))),
            inputs=specs_of(given),
            outputs=specs_of(answers) if isinstance(answers, Mapping) else (),
            details={"signature": options["signature"]},
            native=Native(call=lambda tensors: function(**tensors), given=given, keep=loaded),
        )


def prepare(options: dict[str, Any]) -> None:
    """Set the threads of one prediction, before TensorFlow computes anything. InvalidModel where it would crash."""
    from inferry.runtimes.tensorflow_import import tf

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < (least := _mapped() + SPARE):
        raise InvalidModel(
            f"TensorFlow needs more memory than the limit of {limit >> 20} MB.",
            help=f"Allow it {least >> 20} MB and what the model takes: inferry deploy --memory MB.",
        )
    tf.config.threading.set_intra_op_parallelism_threads(options.get("threads", 1))
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _mapped() -> int:
    """The bytes of address space in use, which is what the limit counts; 0 where the system does not say."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[0]) * resource.getpagesize() if path.exists() else 0


def specs_of(given: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """TensorFlow's specs as ours, by name; () when a rank is not known, which then the sample tells."""
    if any(spec.shape.rank is None for spec in given.values()):
        return ()
    for name, spec in given.items():
        if spec.dtype.name not in _TYPES:
            raise InvalidModel(
                f"The model's {name[:60]!a} is a {spec.dtype.name}, which cannot be sent.",
                help="Export it with plain tensors (float, integers, bool or string).",
            )
    return tuple(
        TensorSpec(
            name=name,
            datatype=_TYPES[spec.dtype.name],
            shape=tuple(-1 if size is None else size for size in spec.shape.as_list()),
        )
        for name, spec in given.items()
    )


def constants(inputs: Mapping[str, Array], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays as TensorFlow's tensors of the types that the model takes."""
    from inferry.runtimes.tensorflow_import import tf

    return {name: tf.cast(tf.constant(inputs[name]), spec.dtype) for name, spec in given.items()}


def arrays_of(answer: Mapping[str, Any]) -> dict[str, Array]:
    """TensorFlow's tensors as arrays that can be sent."""
    from inferry.runtimes.tensorflow_import import tf

    return {
        name: (tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor).numpy()
        for name, tensor in answer.items()
    }
