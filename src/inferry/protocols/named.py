"""Named tensors: the inputs and outputs of one signature, checked the same way for every form of the protocol.

Data flow: (name, datatype) of a request -> the TensorSpec it is for -> an array -> `fit` to it ->
`check_complete`, `rows`. The other way, what a model answered -> named arrays -> the wanted ones
with their datatypes. For an open signature a request's tensors go as they are; an answer that is
no dict of arrays becomes one tensor `output`, and a value that no tensor can hold its JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inferry.errors import InvalidInput, ModelFailed
from inferry.protocols import answers, tensors
from inferry.protocols.cells import check_known, list_names, locate, unknown_name
from inferry.protocols.tensors import Array
from inferry.types.feedback import label_text
from inferry.types.signature import Signature, TensorSpec

MAX_NAME = 256


class NamedTensors:
    """Reads and writes by name for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._open = signature.kind == "open"
        self._table = signature.kind == "table"
        self._inputs = {spec.name: spec for spec in signature.inputs}
        self._outputs = {spec.name: spec for spec in signature.outputs}

    def input(self, name: str, datatype: str) -> TensorSpec:
        """The spec of an input that came as `datatype`. Raises InvalidInput."""
        if datatype not in tensors.DTYPES:
            tensors.check_datatype(datatype, f"Input {name[:60]!r}")
        spec = self._inputs.get(name)
        if spec is not None:
            return spec
        if self._open and len(name) <= MAX_NAME:
            return TensorSpec(name=name, datatype=datatype, shape=())
        raise unknown_name("input", name, self._inputs)

    def fit(self, array: Array, datatype: str, spec: TensorSpec, *, raw: bool) -> Array:
        """The array as the model takes it. `raw`: its values were not looked at yet. Raises InvalidInput."""
        if self._open:
            return array
        array = tensors.fit(array, datatype, spec, column=self._table)
        if raw:
            self.check_values(array, spec)
        return array

    def check_values(self, array: Array, spec: TensorSpec) -> None:
        """Refuse values that the signature does not take."""
        if spec.closed:
            check_known(array, spec, locate(spec, array.shape, "input"))
        if self._table:
            tensors.check_no_nan(array, spec)

    def takes_any(self, name: str, datatype: str) -> bool:
        """Whether every value of this datatype is one that the input takes, as it comes."""
        spec = self._inputs.get(name)
        if spec is None:
            return True
        checked = spec.closed or (self._table and datatype in tensors.FLOATS and not spec.nullable)
        return datatype == spec.datatype and not checked

    def check_complete(self, inputs: Mapping[str, Array]) -> None:
        """Raise InvalidInput unless all inputs are there."""
        if len(inputs) < len(self._inputs):
            missing = [name for name in self._inputs if name not in inputs]
            raise InvalidInput(
                f"Missing input{'s' * (len(missing) > 1)}: {', '.join(map(repr, missing[:8]))}.",
                help=f"The model takes {list_names(self._inputs)}.",
            )

    def rows(self, inputs: Mapping[str, Array]) -> int:
        """Rows of a call, 0 when not countable."""
        return 0 if self._open else tensors.count_rows(self._signature, inputs)

    def check_output(self, name: str) -> None:
        """Raise InvalidInput when the model has no such output."""
        if name not in self._outputs and not self._open:
            raise unknown_name("output", name, self._outputs)

    def outputs(self, answered: Any) -> Mapping[str, Any]:
        """What a model answered, by name."""
        return _open_outputs(answered) if self._open else answered

    def output(self, named: Mapping[str, Any], name: str) -> tuple[Array, str]:
        """One output and its datatype. Raises InvalidInput or ModelFailed when it is not there."""
        if name not in named:
            if self._open:
                raise unknown_name("output", name, named)
            raise ModelFailed(f"The model did not answer its output {name!r}.")
        array = np.asarray(named[name])
        spec = self._outputs.get(name)
        if spec is not None and tensors.DTYPES[spec.datatype] == array.dtype:
            return array, spec.datatype
        return array, tensors.datatype_of(array, f"Output {name!r}")


def _open_outputs(outputs: Any) -> dict[str, Array]:
    """Whatever a Python model returned, as named tensors."""
    named = outputs if isinstance(outputs, dict) and outputs else {"output": outputs}
    return {label_text(name): _open_tensor(value) for name, value in named.items()}


def _open_tensor(value: Any) -> Array:
    texts = [value] if isinstance(value, (str, bytes)) else value
    if isinstance(texts, (list, tuple)) and texts and all(isinstance(text, (str, bytes)) for text in texts):
        return tensors.objects(texts)  # numpy's own text arrays drop trailing zero bytes
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError, RecursionError):  # ragged lists, odd objects
        array = np.empty((), dtype=object)
    if array.dtype.kind in "biufSU" or (isinstance(value, np.ndarray) and array.dtype.kind == "O"):
        return array.reshape(1) if not array.shape else array
    return tensors.objects([answers.write(answers.jsonable(value)).decode()])
