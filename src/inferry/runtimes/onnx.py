"""ONNX models, run by onnxruntime on the CPU.

Data flow: artifact file -> session (one thread, never spinning) -> `describe`: input and
output specs from the graph, an example from the sample or made up, its answer -> `predict`.
Classifiers converted from scikit-learn answer "label" and "probabilities" whatever the
converter called them, and take a table when they have one input per column.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from inferry.errors import InferryError, InvalidInput, InvalidModel, ModelFailed
from inferry.policy.batching import best_rows, read_curve
from inferry.policy.packing import LARGE, Packing, choose_packing
from inferry.policy.threads import Ways
from inferry.runtimes.onnx_converted import ConvertedModel
from inferry.runtimes.onnx_labels import class_labels
from inferry.runtimes.onnx_pair import Pair
from inferry.runtimes.onnx_sessions import best_of, gain, open_session
from inferry.runtimes.proof import Predict, batch_curve, proven_batchable
from inferry.runtimes.tensors import (
    Array,
    answer_rows,
    as_output,
    as_text,
    example_body,
    from_sample,
    head,
    made_up,
    plain,
    take,
)
from inferry.types.conversion import Plan
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Scalar, Signature, TensorSpec, as_example
from inferry.types.text import first_line

_TYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_LABEL = ("label", "output_label")
_PROBABILITIES = ("probabilities", "output_probability", "probability_tensor")
_CONVERTERS = {"skl2onnx", "OnnxMLTools"}
WORTH_MS = 2.0  # threads of a shorter call wait for each other longer than they save as soon as a core is busy
_MADE_UP_SIZES = (1, 2, 8, 32, 224)
BEHIND_S = 1.0  # whoever woke the model has its answer by then
_SMALL = 64 << 20  # bytes of a model that may be in memory twice


class OnnxRuntime:
    """The runtime plugin "onnx"."""

    imports: ClassVar[tuple[str, ...]] = ()
    borrows: ClassVar[bool] = True
    computes_beside: ClassVar[bool] = True

    def load(
        self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None
    ) -> OnnxModel | ConvertedModel:
        """Make the session. Options: `threads` for one prediction (1), `try_threads` that may turn out to be quicker
        (0: not to be tried), `calls` that may run at a time (1), `device` (cpu, cuda) and `gpu_memory_mb` on it (0:
        any), the `packing_gain` that was measured (0: none), and the `plan` of a converted model, which answers in the
        signature of the model that it was made of."""
        model = self.open(artifact, entry, options, signature)
        if "plan" not in options or signature is None:
            return model
        return ConvertedModel(model.run, msgspec.convert(options["plan"], Plan), signature)

    def open(self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None) -> OnnxModel:
        """The graph as it is."""
        path, threads = artifact / entry, options.get("threads", 1)
        device, packing = options.get("device", "cpu"), choose_packing(options.get("packing_gain", 0.0))
        started = time.perf_counter()
        opened = partial(open_session, path, device=device, gpu_memory_mb=options.get("gpu_memory_mb", 0))
        session = opened(threads, packed=device != "cpu" or packing is Packing.FIRST)
        model = OnnxModel(session, path, signature, (time.perf_counter() - started) * 1000)
        model.size = sum(file.stat().st_size for file in artifact.rglob("*") if file.is_file())
        if not model.on_cpu:
            return model
        tried = options.get("try_threads", 0)
        twice = model.size <= _SMALL and (tried > 1 or (options.get("calls", 1) > 1 and threads > 1))

        def better() -> Any:
            first = opened(threads) if packing is Packing.BEHIND else session
            if not twice:
                return first
            other = opened(1 if threads > 1 else tried, packed=packing is not Packing.NEVER)
            many, one = (first, other) if threads > 1 else (other, first)
            return Pair(many, one, Ways(many=threads > 1) if tried > 1 else None)

        if twice or packing is Packing.BEHIND:
            later(better, model.improve)
        return model


class OnnxModel:
    """A session and the names that its outputs go by."""

    def __init__(self, session: Any, path: Path, signature: Signature | None, load_ms: float) -> None:
        self._session = session
        self.on_cpu = session.get_providers()[0] == "CPUExecutionProvider"
        self.size = 0
        self._path = path
        self._load_ms = load_ms
        self._outputs = [node.name for node in session.get_outputs()]
        self._types = [node.type for node in session.get_outputs()]
        self._names = _public_names(self._outputs)
        self._task = "classification" if self._names != self._outputs or "label" in self._names else ""
        self._inputs = _input_specs(session)
        self._text = [spec.name for spec in self._inputs if spec.datatype == "BYTES"]
        self._columns = [spec.name for spec in self._inputs] if signature and signature.kind == "table" else []
        self._cooked = any(kind == "tensor(string)" or kind not in _TYPES for kind in self._types)

    def improve(self, session: Any) -> None:
        """Answer by a session, or a pair of them, that is faster from now on."""
        self._session = session

    def predict(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Run the session, and name its outputs. Raises as `run` does."""
        feeds = inputs
        if self._columns:
            feeds = {name: inputs[name].reshape(-1, 1) for name in self._columns}
        if self._text:
            feeds = {**feeds, **{name: as_text(feeds[name]) for name in self._text}}
        answers = self.run(self._outputs, feeds)
        if self._cooked:
            answers = [_cook(answer, name) for answer, name in zip(answers, self._names, strict=True)]
        return dict(zip(self._names, answers, strict=True))

    def run(self, outputs: list[str], feeds: dict[str, Array]) -> list[Array]:
        """The graph's own outputs. ModelFailed or InvalidInput carries onnxruntime's first line."""
        try:
            answers: list[Array] = self._session.run(outputs, feeds)
        except Exception as error:
            said = first_line(str(error).partition(" : ")[2].partition(" : ")[2] or error)
            if type(error).__name__ == "InvalidArgument":
                raise InvalidInput(f"The model refuses this input: {said}") from error
            raise ModelFailed(f"The model failed: {said}") from error
        return answers

    def describe(self, sample: Sample | None) -> Inspection:
        """Signature from the graph; example from the sample or made up; batching proven."""
        table = self._is_table(sample)
        specs = tuple(
            TensorSpec(name=spec.name, datatype=spec.datatype, shape=(-1,)) if table else spec for spec in self._inputs
        )
        self._columns = [spec.name for spec in specs] if table else []
        inputs, answer = self._example(specs, sample)
        started = time.perf_counter()
        answer = self.predict(inputs)
        predict_ms = (time.perf_counter() - started) * 1000
        whole = from_sample(specs, sample) if sample else inputs
        outputs = self._output_specs(whole, answer)
        if table:
            specs = tuple(self._nullable(spec, inputs) for spec in specs)
        meta = self._session.get_modelmeta()
        signature = Signature(
            kind="table" if table else "tensors",
            inputs=specs,
            outputs=outputs,
            batchable=proven_batchable(self.predict, specs, whole, by_contract=meta.producer_name in _CONVERTERS),
        )
        curve = batch_curve(self.predict, whole) if signature.batchable else {}
        rows = best_rows(read_curve(curve)) if curve else 1
        usual = take(whole, [0] * rows) if rows > 1 else inputs
        return Inspection(
            signature=signature,
            example=as_example(example_body(signature, inputs)),
            answer=answer_rows(signature, answer),
            task=self._task,
            details={"producer": first_line(meta.producer_name)} if meta.producer_name else {},
            notes=() if sample else ("The example input is made up: give a sample to see real values.",),
            load_ms=self._load_ms,
            predict_ms=predict_ms,
            batch_us=curve,
            threads_gain=self.threads_gain(self.predict, usual),
            packing_gain=self.packing_gain(self.predict, usual),
        )

    def threads_gain(self, predict: Predict, inputs: dict[str, Array]) -> float:
        """How many times faster all cores answer a batch than one does; 0 when that cannot matter.

        `predict` is what ends in `run`.
        """
        cores = len(os.sched_getaffinity(0))
        if cores == 1 or not self.on_cpu or best_of(lambda: predict(inputs)) * 1e3 < WORTH_MS:
            return 0.0
        return self._gain(lambda: predict(inputs), self._session, open_session(self._path, cores))

    def packing_gain(self, predict: Predict, inputs: dict[str, Array]) -> float:
        """How many times faster it answers with its weights packed; 0 when it is too small for that to matter."""
        if self.size < LARGE or not self.on_cpu:
            return 0.0
        return self._gain(lambda: predict(inputs), open_session(self._path, 1, packed=False), self._session)

    def _gain(self, call: Callable[[], object], base: Any, other: Any) -> float:
        def use(session: Any) -> None:
            self._session = session

        session = self._session
        try:
            return gain(call, use, base, other)
        finally:
            self._session = session

    def _is_table(self, sample: Sample | None) -> bool:
        if any(spec.shape != (-1, 1) for spec in self._inputs):
            return False
        if sample and sample.kind == "table":
            return all(spec.name in sample.tensors for spec in self._inputs)
        return len(self._inputs) > 1 and self._session.get_modelmeta().producer_name in _CONVERTERS

    def _example(self, specs: tuple[TensorSpec, ...], sample: Sample | None) -> tuple[dict[str, Array], Any]:
        if sample:
            inputs = head(from_sample(specs, sample))
            return inputs, self.predict(inputs)
        refusal: InferryError | None = None
        for size in _MADE_UP_SIZES:
            inputs = made_up(specs, size=size)
            try:
                return inputs, self.predict(inputs)
            except (InvalidInput, ModelFailed) as error:
                refusal = refusal or error
        assert refusal is not None
        raise InvalidModel(
            f"The model could not answer a made-up input. {refusal.message}",
            help="Give a sample file with an input that works.",
        )

    def _output_specs(self, whole: dict[str, Array], answer: dict[str, Array]) -> tuple[TensorSpec, ...]:
        specs = []
        for node, name in zip(self._session.get_outputs(), self._names, strict=True):
            array = answer[name]
            if node.type in _TYPES:
                shape = _shape(node.shape) if len(node.shape) == array.ndim else (-1,) * array.ndim
                shape = (
                    shape if all(a in {-1, b} for a, b in zip(shape, array.shape, strict=True)) else (-1,) * array.ndim
                )
                datatype = _TYPES[node.type]
            else:
                shape, datatype = (-1, array.shape[1]), "FP32"
            labels: tuple[Scalar, ...] = ()
            if self._task and name == "probabilities" and array.ndim == 2:
                labels = self._labels(whole, node.type)
                shape = (-1, array.shape[1])
            specs.append(TensorSpec(name=name, datatype=datatype, shape=shape, labels=labels))
        return tuple(specs)

    def _labels(self, inputs: dict[str, Array], kind: str) -> tuple[Scalar, ...]:
        if kind in _TYPES:
            answer = self.predict(inputs)
            return class_labels(self._path, answer.get("label"), answer["probabilities"])
        feeds = {name: array.reshape(-1, 1) if self._columns else array for name, array in inputs.items()}
        rows = self._session.run([self._outputs[self._names.index("probabilities")]], feeds)[0]
        return tuple(rows[0]) if rows else ()

    def _nullable(self, spec: TensorSpec, inputs: dict[str, Array]) -> TensorSpec:
        """A float column may be missing when the model then still gives a number."""
        if not spec.datatype.startswith("FP"):
            return spec
        missing = inputs[spec.name].copy()
        missing[:] = float("nan")
        try:
            answer = self.predict({**inputs, spec.name: missing})
        except InferryError:
            return spec
        finite = all(None not in plain(array.ravel()) for array in answer.values())
        return TensorSpec(name=spec.name, datatype=spec.datatype, shape=spec.shape, nullable=finite)


def later(make: Callable[[], Any], use: Callable[[Any], None]) -> None:
    """Open a session when whoever woke the model has its answer, and use it, unless it cannot be had."""

    def work() -> None:
        with contextlib.suppress(InferryError):
            use(make())

    timer = threading.Timer(BEHIND_S, work)
    timer.daemon = True
    timer.start()


def _public_names(names: list[str]) -> list[str]:
    """`label` and `probabilities` for a converted classifier, whatever they were called."""
    if len(names) == 2 and names[0] in _LABEL and names[1] in _PROBABILITIES:
        return ["label", "probabilities"]
    return names


def _input_specs(session: Any) -> tuple[TensorSpec, ...]:
    specs = []
    for node in session.get_inputs():
        datatype = _TYPES.get(node.type)
        if datatype is None:
            name, kind = first_line(node.name, 60), first_line(node.type, 60)
            raise InvalidModel(
                f"The model's input {name!r} is a {kind}, which cannot be sent.",
                help="Export the model with plain tensor inputs (float, double, integers, bool or string).",
            )
        specs.append(TensorSpec(name=node.name, datatype=datatype, shape=_shape(node.shape)))
    return tuple(specs)


def _shape(dimensions: list[Any]) -> tuple[int, ...]:
    return tuple(size if type(size) is int and size >= 0 else -1 for size in dimensions)


def _cook(answer: Any, name: str) -> Array:
    """ZipMap's list of {label: probability} as a matrix; text as str."""
    if isinstance(answer, list) and answer and all(isinstance(row, dict) for row in answer):
        return as_output([list(row.values()) for row in answer], name).astype("float32")
    return as_output(answer, name)
