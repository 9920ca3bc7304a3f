"""What a new signature means for callers, and that the doors agree."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferry.errors import BreakingChange
from inferry.policy.compatibility import WIDENS, breaking, changes, refuse, sentence
from inferry.protocols import tensors
from inferry.protocols.oip import OipCodec
from inferry.protocols.plain import PlainCodec
from inferry.testing.store_contract import make_commit
from inferry.types.registry import Version
from inferry.types.signature import AudioSpec, ImageSpec, Signature, TensorSpec
from tests.support.protocol_cases import request

AGE = TensorSpec(name="age", datatype="FP64", shape=(-1,))
JOB = TensorSpec(name="job", datatype="BYTES", shape=(-1,), categories=("clerk", "smith"), closed=True)
LABEL = TensorSpec(name="label", datatype="INT64", shape=(-1,))
ODDS = TensorSpec(name="odds", datatype="FP64", shape=(-1, 2), labels=("no", "yes"))
TABLE = Signature(kind="table", inputs=(AGE, JOB), outputs=(LABEL, ODDS), batchable=True)
IMAGE = TensorSpec(name="x", datatype="FP32", shape=(-1, 3, 8, 8))
NET = Signature(kind="tensors", inputs=(IMAGE,), outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 10)),))
OPEN = Signature(kind="open")


def inputs(*specs):
    return replace(TABLE, inputs=specs)


def outputs(*specs):
    return replace(TABLE, outputs=specs)


def net(**changed):
    return replace(NET, inputs=(replace(IMAGE, **changed),))


@pytest.mark.parametrize(
    ("old", "new", "breaks", "said"),
    [
        (TABLE, inputs(AGE), True, "input 'job' is gone"),
        (TABLE, inputs(AGE, JOB, replace(AGE, name="visits")), True, "requests without it are refused"),
        (TABLE, inputs(replace(AGE, name="years"), JOB), True, "input 'age' is called 'years' now"),
        (TABLE, inputs(JOB, AGE), True, "inputs in another order"),
        (TABLE, inputs(replace(AGE, datatype="FP32"), JOB), True, "narrows from FP64 to FP32"),
        (TABLE, inputs(replace(AGE, datatype="BYTES"), JOB), True, "changes from FP64 to BYTES"),
        (inputs(replace(AGE, datatype="INT32"), JOB), TABLE, False, "takes FP64 now, to which INT32 widens"),
        (TABLE, inputs(replace(AGE, nullable=True), JOB), False, "takes missing values now"),
        (inputs(replace(AGE, nullable=True), JOB), TABLE, True, "takes no missing values any more"),
        (TABLE, inputs(AGE, replace(JOB, categories=("clerk",))), True, "takes 'smith' no more"),
        (TABLE, inputs(AGE, replace(JOB, categories=("clerk", "smith", "nurse"))), False, "trained on other values"),
        (TABLE, inputs(AGE, replace(JOB, closed=False)), False, "takes unknown values now"),
        (inputs(AGE, replace(JOB, closed=False)), TABLE, True, "takes nothing but 'clerk', 'smith' now"),
        (TABLE, outputs(LABEL), True, "output 'odds' is gone"),
        (TABLE, outputs(LABEL, ODDS, replace(LABEL, name="score")), False, "output 'score' is new"),
        (outputs(LABEL), TABLE, True, "some doors name outputs when there are several"),
        (TABLE, outputs(LABEL, replace(ODDS, name="chances")), True, "output 'odds' is called 'chances' now"),
        (TABLE, outputs(LABEL, replace(ODDS, labels=("yes", "no"))), True, "labels in another order"),
        (TABLE, outputs(LABEL, replace(ODDS, shape=(-1, 3), labels=("no", "yes", "so"))), True, "has 'so' more"),
        (TABLE, outputs(LABEL, replace(ODDS, labels=())), True, "has no labels any more"),
        (TABLE, outputs(replace(LABEL, datatype="INT32"), ODDS), True, "narrows from INT64 to INT32"),
        (TABLE, outputs(replace(LABEL, datatype="FP64"), ODDS), True, "changes from INT64 to FP64"),
        (outputs(replace(LABEL, datatype="INT32"), ODDS), TABLE, False, "widens from INT32 to INT64"),
        (TABLE, outputs(replace(LABEL, nullable=True), ODDS), True, "may be null now"),
        (TABLE, outputs(replace(LABEL, json=True), ODDS), True, "is JSON now"),
        (TABLE, outputs(LABEL, replace(ODDS, top=1)), True, "names 1 of its labels"),
        (outputs(LABEL, replace(ODDS, top=1)), TABLE, False, "names all of its labels"),
        (NET, net(shape=(-1, 3, 16, 16)), True, "changes its shape from [-1, 3, 8, 8] to [-1, 3, 16, 16]"),
        (NET, net(shape=(-1, 3, -1, -1)), False, "changes its shape"),
        (NET, net(shape=(1, 3, 8, 8)), True, "changes its shape"),
        (NET, net(shape=(-1, 192)), True, "changes its shape"),
        (NET, net(image=ImageSpec()), False, "takes pictures now"),
        (net(image=ImageSpec()), NET, True, "takes no pictures any more"),
        (NET, net(audio=AudioSpec(rate=16000)), False, "takes sounds now"),
        (NET, replace(NET, outputs=(replace(NET.outputs[0], shape=(-1, -1)),)), True, "changes its shape"),
        (OPEN, TABLE, True, "the model took any JSON value, takes columns now"),
        (NET, OPEN, True, "the model took tensors, takes any JSON value now"),
        (OPEN, replace(OPEN, whole=True), True, "gets a JSON body as it came now"),
    ],
)
def test_every_change_is_told_and_judged(old, new, breaks, said):
    found = changes(old, new)
    assert any(said in sentence(change) and change.breaking == breaks for change in found), found
    assert bool(breaking(old, new)) == breaks
    assert list(found) == sorted(found, key=lambda change: not change.breaking)


@pytest.mark.parametrize("same", [TABLE, NET, OPEN])
def test_the_same_signature_has_no_changes(same):
    assert changes(same, same) == ()
    assert changes(same, replace(same, batchable=not same.batchable)) == ()


def test_datatypes_widen_as_the_doors_have_it():
    assert {name: frozenset(others) for name, others in tensors.WIDENS.items() if others} == WIDENS


def test_a_refusal_lists_what_breaks():
    def version(number, signature):
        manifest = make_commit().manifest
        manifest = replace(manifest, inspection=replace(manifest.inspection, signature=signature))
        return Version(
            model="fraud", number=number, bundle="b", source="s", runtime="onnx", size=1, created=0.0, created_by="",
            manifest=manifest,
        )  # fmt: skip

    refuse(version(3, TABLE), version(4, TABLE), "fraud")
    with pytest.raises(BreakingChange) as refused:
        refuse(version(3, TABLE), version(4, inputs(AGE)), "fraud-eu")
    assert refused.value.message.startswith(
        "fraud:4 would break who calls 'fraud-eu', which serves fraud:3: input 'job'"
    )
    assert "--allow-breaking" in refused.value.help


# -- what is called compatible truly is: requests for the old signature are read by the new one

DATATYPES = ["BOOL", "INT8", "INT32", "INT64", "UINT8", "FP32", "FP64", "BYTES"]
VALUES = {"BOOL": True, "BYTES": "clerk", "FP32": 1.5, "FP64": 2.5}
names = st.sampled_from(["a", "b", "c"])
columns = st.builds(
    TensorSpec,
    name=names,
    datatype=st.sampled_from(DATATYPES),
    shape=st.just((-1,)),
    nullable=st.booleans(),
)
closed = st.builds(
    TensorSpec,
    name=names,
    datatype=st.just("BYTES"),
    shape=st.just((-1,)),
    categories=st.sampled_from([("clerk",), ("clerk", "smith"), ("smith",)]),
    closed=st.booleans(),
)
arrays = st.builds(
    TensorSpec,
    name=names,
    datatype=st.sampled_from(DATATYPES),
    shape=st.sampled_from([(-1, 2), (-1, -1), (-1, 3), (1, 2), (-1, 2, 2)]),
)


@st.composite
def signature_pairs(draw):
    """Two signatures whose inputs mostly have the same names."""
    kind = draw(st.sampled_from(["table", "tensors"]))
    specs = st.one_of(columns, closed) if kind == "table" else arrays
    old = draw(st.lists(specs, min_size=1, max_size=2, unique_by=lambda spec: spec.name))
    changed = [
        draw(st.one_of(st.just(spec), specs.map(lambda new, name=spec.name: replace(new, name=name)))) for spec in old
    ]
    new = draw(st.one_of(st.just(changed), st.permutations(changed), st.just(changed[:1])))
    return tuple(Signature(kind=kind, inputs=tuple(specs), outputs=(LABEL,), batchable=True) for specs in (old, new))


def cell(spec):
    return spec.categories[-1] if spec.categories else VALUES.get(spec.datatype, 3)


def nested(spec, shape):
    return cell(spec) if not shape else [nested(spec, shape[1:]) for _ in range(shape[0])]


def sized(spec):
    return tuple(2 if size == -1 and at else abs(size) for at, size in enumerate(spec.shape))


@given(signature_pairs())
def test_what_is_called_compatible_is_read_by_both_doors(pair):
    old, new = pair
    if breaking(old, new):
        return
    values = {spec.name: nested(spec, sized(spec)) for spec in old.inputs}
    told = [
        {"name": spec.name, "datatype": spec.datatype, "shape": list(sized(spec)), "data": values[spec.name]}
        for spec in old.inputs
    ]
    bodies = [(PlainCodec, values), (OipCodec, {"inputs": told})]
    if old.kind == "table":
        record = {name: column[0] for name, column in values.items()}
        bodies += [(PlainCodec, [record]), (PlainCodec, [list(record.values())])]
    for codec, body in bodies:
        asked = request(json.dumps(body).encode())
        codec(old).decode(asked)
        assert set(codec(new).decode(asked).inputs) == {spec.name for spec in new.inputs}
