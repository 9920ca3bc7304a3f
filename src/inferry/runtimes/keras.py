"""Keras models, computed by TensorFlow: .keras files, and whole models in HDF5.

Data flow: file -> no code of the model's own in it -> model -> one traced function of its inference ->
`call`: named arrays -> tensors -> the function -> "output", or the outputs by the names of their layers.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from inferry.errors import InvalidModel
from inferry.runtimes.answers import LONE
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.tensorflow import Native, arrays_of, constants, prepare, specs_of

HDF5 = b"\x89HDF\r\n\x1a\n"
_EXPORT = "Where its code is, export it with model.export(FOLDER), and deploy that folder."
_MISSING = re.compile(r"(?:Could not locate (?:class|function)|Unknown (?:layer|object|[a-z ]+):) '([^']{1,60})'")


class KerasRuntime(ArrayRuntime):
    """The runtime plugin "keras". Option `keras`: 2 for files of Keras 2."""

    imports: ClassVar[tuple[str, ...]] = ("inferry.runtimes.tensorflow_import",)
    computes_beside: ClassVar[bool] = True

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Load the model without running code of its own, and trace its inference."""
        prepare(options)
        keras = _keras(options)
        with path.open("rb") as file:
            hdf5 = file.read(len(HDF5)) == HDF5
        if hdf5:
            _check_hdf5(path)
        try:
            with _named(path, ".h5" if hdf5 else ".keras") as name:
                model = keras.saving.load_model(name, compile=False, safe_mode=True)
        except (TypeError, ValueError) as error:
            missing = _MISSING.search(str(error))
            if missing is None:
                raise
            raise InvalidModel(
                f"The Keras model uses {missing[1]!a}, which Keras does not have.", help=_EXPORT
            ) from error
        return _traced(model, sequential=isinstance(model, keras.Sequential))


def _keras(options: dict[str, Any]) -> Any:
    """Keras 3, or tf-keras for the files of Keras 2, which is imported here, in the child."""
    from inferry.runtimes.tensorflow_import import keras

    if options.get("keras") == 2:
        import tf_keras

        return tf_keras
    return keras


@contextlib.contextmanager
def _named(path: Path, suffix: str) -> Iterator[str]:
    """The file by a name that ends as Keras wants it."""
    if path.suffix == suffix:
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(path.resolve())
        yield str(link)


def _check_hdf5(path: Path) -> None:
    """HDF5 models are read without Keras's safe mode by some versions of it, so Lambda layers are looked for here."""
    import h5py

    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
    if config is None:
        raise InvalidModel(
            "The HDF5 file holds weights only, without the model.", help='Save it with model.save("model.keras").'
        )

    def refuse(item: dict[str, Any]) -> dict[str, Any]:
        if item.get("class_name") in {"Lambda", "__lambda__"}:
            raise InvalidModel(
                "The Keras model has a Lambda layer, which is Python code inside the file and is not run.",
                help=_EXPORT,
            )
        return item

    json.loads(config, object_hook=refuse)


def _traced(model: Any, *, sequential: bool) -> Opened:
    """The inference of a model as a function of named tensors."""
    from inferry.runtimes.tensorflow_import import tf

    keyed = not sequential and isinstance(model.input, dict)
    tensors = dict(model.input) if keyed else {tensor.name: tensor for tensor in model.inputs}
    given = {name: tf.TensorSpec(tensor.shape, tensor.dtype) for name, tensor in tensors.items()}

    def infer(inputs: dict[str, Any]) -> dict[str, Any]:
        values = [inputs[name] for name in given]
        answer = model(inputs if keyed else values if len(values) > 1 else values[0], training=False)
        if isinstance(answer, Mapping):
            return dict(answer)
        if not isinstance(answer, list | tuple):
            return {LONE: answer}
        return dict(zip(_outputs(model), answer, strict=True))

    function = tf.function(infer, input_signature=[given])
    return Opened(
        call=lambda inputs: arrays_of(function(constants(inputs, given))),
        inputs=specs_of(given),
        native=Native(call=infer, given=given, keep=model),
    )


def _outputs(model: Any) -> list[str]:
    """The names of several outputs: their layers', or numbered where one layer gives two of them."""
    names = list(getattr(model, "output_names", ()))
    unique = len(set(names)) == len(model.outputs)
    return names if unique else [f"{LONE}_{at}" for at in range(len(model.outputs))]
