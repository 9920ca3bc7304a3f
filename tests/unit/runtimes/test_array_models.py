"""Array models: what a runtime says of its model, and what becomes of it in the inspection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inferry.runtimes.arrays import ArrayModel, Opened
from inferry.runtimes.tensors import json_texts
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, TensorSpec
from tests.support.inspections import example_of

TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
WORDS = TensorSpec(name="words", datatype="BYTES", shape=(-1,), json=True)


def words(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"words": json_texts([text.split() for text in inputs["text"]])}


def described(sample: Sample | None = None, **more: Any) -> Inspection:
    opened = Opened(call=words, inputs=(TEXT,), outputs=(WORDS,), independent=True, **more)
    return ArrayModel(opened, None, 0.0).describe(sample)


def texts(*said: str) -> Any:
    return np.array(said, dtype=object)


def test_json_outputs_are_shown_as_their_values() -> None:
    found = described(example={"text": texts("Zürich is far", "yes")})
    assert example_of(found) == {"inputs": ["Zürich is far", "yes"]}
    assert found.answer == [{"words": ["Zürich", "is", "far"]}, {"words": ["yes"]}]
    assert found.signature.outputs == (WORDS,)


def test_an_example_of_the_runtimes_own_is_used_where_there_is_no_sample() -> None:
    own = {"text": texts("its own")}
    assert example_of(described(example=own)) == {"inputs": ["its own"]}
    assert example_of(described(Sample(kind="tensors", tensors={"": texts("given")}), example=own)) == {
        "inputs": ["given"]
    }
    assert example_of(described()) == {"inputs": ["text"]}


@pytest.mark.parametrize("stacks", [True, False])
def test_rows_are_stacked_only_where_the_runtime_wants_it(stacks: bool) -> None:
    found = described(example={"text": texts("one", "two words")}, stacks=stacks)
    assert found.signature.batchable is stacks
    assert bool(found.batch_us) is stacks
