"""PyTorch modules and exported programs to ONNX.

Data flow: module and how its inputs are bound -> one forward of plain tensors, in the order of the signature ->
torch.export, then torch's ONNX exporter, which decides nothing by the rows that it sees; and the tracing exporter,
which takes TorchScript and much that the other refuses -> graph and plan of each. First dimensions stay free, and
every dimension that the signature leaves free.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import torch

from inferry.errors import InferryError
from inferry.runtimes.answers import LONE
from inferry.runtimes.arrays import ArrayModel, stacked
from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.converters.graphs import OPSETS, settle
from inferry.runtimes.tensors import DTYPES, Array, take
from inferry.runtimes.torch import Native, arranged
from inferry.types.conversion import Feed, Plan
from inferry.types.signature import Signature
from inferry.types.text import raised

ROWS = 3  # to export with: sizes of 0 and 1 would be taken for fixed ones


class Flat(torch.nn.Module):  # type: ignore[misc]
    """The model as a function of tensors, whose answers stand in the order of the signature's outputs."""

    def __init__(self, native: Native, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.module = native.module
        self._native = native
        self._inputs = inputs
        self._outputs = outputs

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Called with a tensor for each input."""
        floats = self._native.floats
        given = {
            name: one.to(floats) if floats is not None and one.is_floating_point() else one
            for name, one in zip(self._inputs, tensors, strict=True)
        }
        args, kwargs = self._native.bind(given)
        named = _named(arranged(self.module(*args, **kwargs), lambda tensor: tensor))
        return tuple(named[name] for name in self._outputs)


def convert(model: ArrayModel, signature: Signature, rows: Mapping[str, Array]) -> Conversions:
    """Candidates, made as they are asked for."""
    native: Native = model.opened.native
    feeds, example = _feeds(native, signature, take(rows, [at % len(next(iter(rows.values()))) for at in range(ROWS)]))
    outputs = [spec.name for spec in signature.outputs]
    flat = Flat(native, [feed.columns[0] if len(feed.columns) == 1 else "" for feed in feeds], outputs)
    flat.training = False
    plan = Plan(feeds=feeds, answers={name: f"answer_{at}" for at, name in enumerate(outputs)})
    free = [
        [0] if len(feed.columns) > 1 else [at for at, size in enumerate(by_name[feed.columns[0]].shape) if size < 0]
        for by_name in [{spec.name: spec for spec in signature.inputs}]
        for feed in feeds
    ]
    return Conversions(graphs=_graphs(flat, plan, example, free), converter=f"torch {torch.__version__}")


def _feeds(
    native: Native, signature: Signature, rows: Mapping[str, Array]
) -> tuple[tuple[Feed, ...], tuple[torch.Tensor, ...]]:
    """The graph's inputs, and a tensor for each."""
    if native.stacks(rows):
        dtype = "float64" if native.floats is torch.float64 else "float32"
        feed = Feed(name="input_0", columns=tuple(rows), dtype=dtype)
        return (feed,), (torch.tensor(stacked(rows, np.dtype(dtype))),)
    feeds, example = [], []
    for at, spec in enumerate(signature.inputs):
        dtype = DTYPES[spec.datatype].name
        feeds.append(Feed(name=f"input_{at}", columns=(spec.name,), dtype=dtype, form="same"))
        example.append(torch.tensor(rows[spec.name]))
    return tuple(feeds), tuple(example)


def _graphs(
    flat: Flat, plan: Plan, example: tuple[torch.Tensor, ...], free: Sequence[Sequence[int]]
) -> Iterator[tuple[Any, Plan]]:
    reason: Exception | None = None
    made = False
    scripted = any(isinstance(one, torch.jit.ScriptModule) for one in flat.modules())
    for export in (_traced,) if scripted else (_exported, _traced):
        try:
            with _quiet(), torch.no_grad():
                proto = export(flat, plan, example, free)
            yield settle(proto, list(plan.answers.values())), plan
            made = True
        except InferryError:
            raise
        except Exception as error:  # noqa: BLE001  an exporter may raise anything; the other may go
            reason = reason or error
    if not made and reason is not None:
        raise NotConvertible(f"its conversion raised {raised(reason)}")


def _exported(flat: Flat, plan: Plan, example: tuple[torch.Tensor, ...], free: Sequence[Sequence[int]]) -> Any:
    """By torch.export: a size that the model fixes by what it computes is an error, not a wrong graph."""
    one = getattr(torch.export.Dim, "DYNAMIC", None) or torch.export.Dim("rows")
    shapes = tuple(dict.fromkeys(places, one) for places in free)
    program = torch.export.export(flat, example, dynamic_shapes={"tensors": shapes}, strict=False)
    names = {"input_names": [feed.name for feed in plan.feeds], "output_names": list(plan.answers.values())}
    made = torch.onnx.export(program, dynamo=True, opset_version=OPSETS[""], verbose=False, **names)
    return made.model_proto


def _traced(flat: Flat, plan: Plan, example: tuple[torch.Tensor, ...], free: Sequence[Sequence[int]]) -> Any:
    """By the tracing exporter, which follows TorchScript's branches and writes down the others as they were taken."""
    import onnx

    names = [feed.name for feed in plan.feeds]
    outputs = list(plan.answers.values())
    axes = {name: {at: f"{name}_{at}" for at in places} for name, places in zip(names, free, strict=True)}
    file = io.BytesIO()
    how = {"dynamo": False} if hasattr(torch.onnx, "ONNXProgram") else {}
    traced = torch.jit.trace(flat, example, check_trace=False)  # the exporter cannot trace what holds TorchScript
    torch.onnx.export(
        traced, example, file, input_names=names, output_names=outputs, opset_version=17,
        dynamic_axes={**axes, **{name: {0: "rows"} for name in outputs}}, **how,
    )  # fmt: skip
    return onnx.load_model_from_string(file.getvalue())


def _named(value: Any) -> dict[str, Any]:
    """The answer by the names that `as_tensors` gives. Raises NotConvertible where one is not a tensor."""
    if not isinstance(value, Mapping):
        value = {f"{LONE}_{at}": one for at, one in enumerate(value)} if isinstance(value, tuple) else {LONE: value}
    strange = [name for name, one in value.items() if not isinstance(one, torch.Tensor)]
    if strange:
        raise NotConvertible(f"its output {strange[0]} is no tensor")
    return dict(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say to people."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
