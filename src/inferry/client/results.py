"""What people give and get: arrays, frames or plain rows, told apart without importing a library.

Data flow in: data -> `form_of` -> for arrays and frames `name_inputs` gives each its input.
Out: {output name: array} -> one array, a Prediction, or a frame with the index that came in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from inferry.errors import InvalidInput, MissingPlugin
from inferry.types.signature import Signature

if TYPE_CHECKING:
    import numpy as np

Form = Literal["frame", "arrays", "rows"]


class Prediction(Mapping[str, Any]):
    """Several outputs: a mapping of output name to numpy array, one row an input row.

    A classifier's are also `label` and `probabilities`; `labels` names the columns of the latter.
    """

    def __init__(
        self,
        outputs: dict[str, np.ndarray[Any, Any]],
        *,
        labels: tuple[Any, ...],
        model: str,
        version: int,
        revision: int,
    ) -> None:
        self._outputs = outputs
        self._probabilities = next(iter(_with_labels(outputs, labels)), "")
        self.labels = labels
        self.model = model
        self.version = version
        self.revision = revision

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    @property
    def label(self) -> np.ndarray[Any, Any]:
        """The predicted class of each row."""
        return self._classifier("label")

    @property
    def probabilities(self) -> np.ndarray[Any, Any]:
        """One row an input row, one column a class, in the order of `labels`."""
        return self._classifier(self._probabilities or "probabilities")

    def _classifier(self, name: str) -> np.ndarray[Any, Any]:
        if name not in self._outputs:
            raise AttributeError(f"{self.model} gives no {name}, but {', '.join(self._outputs)}")
        return self._outputs[name]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {list(array.shape)}" for name, array in self._outputs.items())
        return f"<Prediction of {self.model}:{self.version} {{{shapes}}}>"


def form_of(data: Any) -> Form:
    """Frames and arrays go as tensors, everything else as the JSON that one would type."""
    if _is_pandas(data):
        return "frame"
    if _is_array(data) or (isinstance(data, dict) and any(_is_array(v) or _is_pandas(v) for v in data.values())):
        return "arrays"
    return "rows"


def name_inputs(data: Any, signature: Signature) -> dict[str, Any]:
    """Each input's array or column. Raises InvalidInput when names are missing or left over."""
    names = [spec.name for spec in signature.inputs]
    lone = len(names) == 1
    if _is_pandas(data) and data.ndim == 1:
        data = {names[0]: data} if lone else {data.name: data}
    elif _is_pandas(data):
        if not data.columns.is_unique:
            raise InvalidInput("The frame has two columns of one name.", help="Rename or drop one of them.")
        columns = {str(column): data[column] for column in data.columns}
        spread = lone and signature.kind == "tensors" and list(columns) != names
        data = {names[0]: data.to_numpy()} if spread else columns
    elif _is_array(data):
        data = _name_array(data, signature)
    word = "columns" if signature.kind == "table" else "inputs"
    missing, unknown = [n for n in names if n not in data], [str(n) for n in data if n not in names]
    if missing or unknown:
        wrong = [f"{what} {word} {', '.join(map(repr, which))}" for what, which in
                 (("missing", missing), ("unknown", unknown)) if which]  # fmt: skip
        raise InvalidInput(
            f"The data does not fit the model: {'; '.join(wrong)}.", help=f"The model takes {', '.join(names)}."
        )
    return {name: data[name] for name in names}


def _name_array(array: Any, signature: Signature) -> dict[str, Any]:
    names = [spec.name for spec in signature.inputs]
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if signature.kind == "table" and array.ndim == 1 and len(names) > 1:
        array = array[None]
    if signature.kind == "table" and array.ndim == 2 and array.shape[1] == len(names):
        return {name: array[:, place] for place, name in enumerate(names)}
    if len(names) == 1:
        return {names[0]: array}
    raise InvalidInput(
        f"One array of the shape {list(array.shape)} came, but the model takes {len(names)} inputs.",
        help=f"Give a dict of arrays: {', '.join(names)}.",
    )


def to_frame(outputs: Mapping[str, Any], labels: tuple[Any, ...], index: Any) -> Any:
    """A DataFrame with one row an input row; probabilities are spread as `probability_<label>`."""
    pandas = _pandas()
    spread = _with_labels(outputs, labels)
    columns: dict[str, Any] = {}
    for name, array in outputs.items():
        if name in spread:
            columns |= {f"probability_{label_text(label)}": array[:, i] for i, label in enumerate(labels)}
        elif array.ndim == 2 and array.shape[1] != 1:
            columns |= {f"{name}_{i}": array[:, i] for i in range(array.shape[1])}
        else:
            columns[name] = array.reshape(-1) if array.ndim <= 2 else list(array)
    sizes = {len(column) for column in columns.values()}
    if len(sizes) > 1 or (index is not None and sizes != {len(index)}):
        raise InvalidInput("The answer has no row for each input row.", help="Ask with as_frame=False.")
    return pandas.DataFrame(columns, index=index)


def rows_to_frame(rows: Any) -> Any:
    """A DataFrame from the plain door's rows."""
    pandas = _pandas()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return pandas.DataFrame({"prediction": rows if isinstance(rows, list) else [rows]})
    flat: list[dict[str, Any]] = []
    for row in rows:
        line: dict[str, Any] = {}
        for name, value in row.items():
            line |= {f"probability_{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
        flat.append(line)
    return pandas.DataFrame(flat)


def jsonable(value: Any) -> Any:
    """For values inside rows that JSON does not have: numpy numbers and arrays, dates, pandas' NA."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return value.to_dict("records")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise InvalidInput(
        f"A value of the type {type(value).__name__} cannot be sent.", help="Send numbers, text, lists and dicts."
    )


def label_text(label: Any) -> str:
    """A class label as a name."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _with_labels(outputs: Mapping[str, Any], labels: tuple[Any, ...]) -> list[str]:
    """The output whose columns are the labels, if any."""
    return [n for n, array in outputs.items() if labels and array.ndim == 2 and array.shape[1] == len(labels)][:1]


def _is_array(data: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(data, numpy.ndarray)


def _is_pandas(data: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, (pandas.DataFrame, pandas.Series))


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise MissingPlugin("A frame was asked for, but pandas is not installed.", help="pip install pandas") from error
    return pandas
