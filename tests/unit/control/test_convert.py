"""A conversion is tried; whatever fails costs the conversion, not the deploy, unless it was required."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from inferry.bundles import converting
from inferry.control.convert import Converter, Native, note
from inferry.errors import EnvironmentFailed, InvalidModel
from inferry.types.bundle import Detected, EnvironmentSpec, Lock
from inferry.types.conversion import CheckTask, Converted, Draft, Feed, Plan
from inferry.types.signature import Inspection, Signature

PLAN = Plan(feeds=(Feed(name="X", columns=("x",), dtype="float64"),), answers={"label": "l"})
DRAFTS = (Draft(file="draft-0.onnx", plan=PLAN), Draft(file="draft-1.onnx", plan=PLAN))
MADE = Converted(converter="skl2onnx 1", drafts=DRAFTS, rows=200)
EQUAL = Converted(chosen=1, rows=200, largest=1e-7, where="label, row 3", batch_us={"1": 10.0}, threads_gain=1.5)
INSPECTION = Inspection(signature=Signature(kind="open"), batch_us={"1": 100.0}, answer="kept")
NATIVE = Native(
    artifact=Path("a"), sample=None, detected=Detected(runtime="sklearn", entry="m.joblib", requirements=("x",)),
    lock=Lock(digest="d", text="x==1"), spec=EnvironmentSpec(digest="d", requirements=("x",)), inspection=INSPECTION,
)  # fmt: skip


class World:
    """Stands in for environments and backend: gives, or raises, what it was told to."""

    def __init__(self, made=MADE, checked=EQUAL, lock=None) -> None:
        self.made, self.checked, self.failing, self.asked = made, checked, lock, []

    def beside(self, lock, requirements, say):
        if self.failing:
            raise self.failing
        return Lock(digest="w", text="onnx==1")

    def ensure(self, lock, say):
        return Path("python")

    def packages(self, digest):
        return Path("packages") / digest

    async def convert(self, task, environment):
        self.asked.append((type(task).__name__, environment))
        done = self.checked if isinstance(task, CheckTask) else self.made
        if isinstance(done, Exception):
            raise done
        return done


async def tried(world, mode="auto"):
    said = []
    return await Converter(world, world, 60.0).convert(NATIVE, Path("scratch"), mode, 0, said.append)


async def test_the_chosen_candidate_serves_in_the_platforms_environment():
    world = World()
    served = await tried(world)
    assert world.asked == [("ConvertTask", "d"), ("CheckTask", "platform")]
    assert (served.detected.runtime, served.detected.entry, served.environment.digest) == (
        "onnx",
        "model.onnx",
        "platform",
    )
    assert served.file == Path("scratch/draft-1.onnx")
    assert served.inspection.batch_us == {"1": 10.0}
    assert served.inspection.threads_gain == 1.5
    assert (served.inspection.signature, served.inspection.answer) == (INSPECTION.signature, "kept")
    made = served.conversion
    assert (made.serves, made.runtime, made.entry, made.converter, made.speed_up) == (
        True, "sklearn", "m.joblib", "skl2onnx 1", 10.0,
    )  # fmt: skip
    assert note(made) == "Converted to ONNX: equal on 200 rows, 10 times faster than natively."


FAILURES = {
    "no environment": (
        World(lock=EnvironmentFailed("nothing fits.")), "the converter cannot be installed: nothing fits",
    ),
    "not convertible": (World(made=Converted(reason="there is no converter for X")), "there is no converter for X"),
    "crashed": (World(made=InvalidModel("its conversion crashed with signal 6")), "its conversion crashed with signal 6"),
    "not equal": (World(checked=Converted(reason="not equal: label differs")), "not equal: label differs"),
    "check crashed": (World(checked=InvalidModel("its conversion took more than 60 s")), "its conversion took more than 60 s"),
    "forged choice": (World(checked=Converted(chosen=7)), "the comparison chose no candidate"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
async def test_a_failure_costs_the_conversion_unless_it_was_required(case):
    world, reason = FAILURES[case]
    served = await tried(world)
    assert (served.detected, served.inspection, served.environment) == (NATIVE.detected, INSPECTION, NATIVE.spec)
    assert served.file is None
    assert note(served.conversion) == f"Served natively, not as ONNX: {reason}."
    with pytest.raises(InvalidModel) as error:
        await tried(world, "require")
    assert error.value.message == f"The model cannot serve as ONNX: {reason}."


async def test_a_slower_one_serves_only_when_it_was_required():
    world = World(checked=Converted(chosen=0, rows=9, batch_us={"1": 300.0}))
    assert (await tried(world)).conversion.reason == "it is slower: 300 us for one row, natively 100 us"
    assert (await tried(world, "require")).detected.runtime == "onnx"


async def test_nothing_is_tried_when_it_was_not_wanted():
    world = World()
    served = await tried(world, "never")
    assert (served.detected, world.asked) == (NATIVE.detected, [])
    assert served.conversion.asked == "never"


async def test_a_model_that_reads_arrow_stays_in_the_environment_that_can(monkeypatch):
    detected = msgspec.structs.replace(NATIVE.detected, requirements=("scikit-learn==1.5.2", "PyArrow>=14"))
    native, world = dataclasses.replace(NATIVE, detected=detected), World()
    for there, tried_it in ((None, 0), (object(), 2)):
        monkeypatch.setattr(converting, "find_spec", lambda name, there=there: there)
        served = await Converter(world, world, 60.0).convert(native, Path("scratch"), "auto", 0, lambda _: None)
        assert len(world.asked) == tried_it
        assert served.conversion.serves is bool(tried_it)
        assert tried_it or "its requirements name pyarrow" in served.conversion.reason
