"""Conversion, in the platform's own environment: the candidates against the native model's answers.

Data flow: answer sheet and drafts of the scratch folder -> each draft in the runtime that would serve it ->
equal on every row that the native model answers, refusing every row that it refuses -> the first such one,
measured; or why none is.
"""

from __future__ import annotations

from pathlib import Path

from inferry.errors import InferryError
from inferry.policy.batching import best_rows, read_curve
from inferry.policy.equality import Comparison, compare
from inferry.runtimes.answersheet import Groups, read_sheet
from inferry.runtimes.calls import Calls, best_us, by_row, pieces
from inferry.runtimes.checkrows import merged
from inferry.runtimes.onnx import OnnxRuntime
from inferry.runtimes.onnx_converted import ConvertedModel
from inferry.runtimes.proof import batch_curve, proven_batchable
from inferry.runtimes.tensors import rows_of, take
from inferry.types.conversion import ATOL, RTOL, SHEET, Converted, Draft
from inferry.types.signature import Signature

STRANGE = "inputs.strange"


def check(scratch: Path, drafts: tuple[Draft, ...], signature: Signature) -> Converted:
    """The first draft that is equal, or the reason why none is."""
    sheet = read_sheet(scratch / SHEET)
    reasons = ["the converter made no candidate"]
    for at, draft in enumerate(drafts):
        try:
            graph = OnnxRuntime().open(scratch, draft.file, {}, signature)
        except InferryError as error:
            reasons.append(error.message)
            continue
        model = ConvertedModel(graph.run, draft.plan, signature)
        calls = Calls(model, signature)
        asked = {name: group for name, group in sheet.items() if not (draft.wary and name == STRANGE)}
        compared = _compared(model, calls, asked, signature)
        if compared.difference:
            reasons.append(f"not equal: {compared.difference}")
            continue
        base = sheet["base"]
        stacks = by_row(signature)
        curve = batch_curve(model.predict, base) if stacks else {"1": best_us(calls.predict, take(base, [0]))}
        rows = best_rows(read_curve(curve)) if stacks and curve else 1
        return Converted(
            chosen=at,
            rows=sum(rows_of(sheet[name]) for name in sheet if name.startswith("inputs")),
            largest=compared.largest,
            where=compared.where,
            batch_us=curve,
            threads_gain=graph.threads_gain(calls.predict, take(base, [0] * rows)),
            packing_gain=graph.packing_gain(calls.predict, take(base, [0] * rows)),
        )
    return Converted(reason=next((one for one in reasons if one.startswith("not equal")), reasons[-1]))


def _compared(model: ConvertedModel, calls: Calls, sheet: Groups, signature: Signature) -> Comparison:
    worst = Comparison("", 0.0, "")
    for name in [name for name in sheet if name.startswith("inputs")]:
        try:
            answers = merged([calls.predict(piece) for piece in pieces(sheet[name])])
        except InferryError as error:
            return Comparison(f"it refuses rows that the native model answers ({error.message})", 0.0, "")
        compared = compare(sheet[name.replace("inputs", "answers")], answers, RTOL, ATOL)
        if compared.difference:
            return compared
        worst = max(worst, compared, key=lambda one: one.largest)
    refused = sheet.get("refused", {})
    for row in range(rows_of(refused) if refused else 0):
        try:
            calls.predict(take(refused, [row]))
        except InferryError:
            continue
        return Comparison("it answers rows that the native model refuses", worst.largest, worst.where)
    if by_row(signature) and not proven_batchable(model.predict, signature.inputs, sheet["base"], by_contract=True):
        return Comparison("its rows influence each other", worst.largest, worst.where)
    return worst
