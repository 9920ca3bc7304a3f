"""Settings files: what is read, and that each mistake is told with its line and what was probably meant."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.bundles.declared import read_declared
from inferry.errors import InvalidSettings
from inferry.types.declared import Problem
from inferry.types.units import Megabytes, Percent, Seconds


class Circle(msgspec.Struct, frozen=True, tag_field="shape", tag="circle"):
    radius: float


class Square(msgspec.Struct, frozen=True, tag_field="shape", tag="square"):
    side: float


class Part(msgspec.Struct, frozen=True, kw_only=True):
    replicas: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    timeout: Seconds = 30.0
    memory: Megabytes | None = None
    share: Percent = 100.0
    kind: Literal["auto", "cpu"] = "auto"
    labels: dict[str, str] = {}
    keep: bool = False
    shapes: tuple[Circle | Square, ...] = ()


class File(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    parts: dict[str, Part] = {}
    weights: dict[int, int] = {}
    anything: Any = None


def read(text: str) -> File:
    return read_declared(text, File, "x.yaml").value


def refused(text: str) -> str:
    with pytest.raises(InvalidSettings) as raised:
        read(text)
    return raised.value.message


def test_a_whole_file_becomes_an_instance():
    found = read("""
name: on
parts:
  a: {replicas: 2, timeout: 5m, memory: 2GB, share: 25%, kind: cpu, keep: true, labels: {team: 012}}
  b:
    timeout: 500ms
    memory:
    shapes:
      - {shape: circle, radius: 2}
      - shape: square
        side: 1.5
weights: {1: 90, 2: 10}
anything: [1, {x: yes}, 1.5, null]
""")
    assert found == File(
        name="on",
        parts={
            "a": Part(
                replicas=2, timeout=300.0, memory=2000.0, share=25.0, kind="cpu", keep=True, labels={"team": "012"}
            ),
            "b": Part(timeout=0.5, shapes=(Circle(2.0), Square(1.5))),
        },
        weights={1: 90, 2: 10},
        anything=[1, {"x": "yes"}, 1.5, None],
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.yaml is empty."),
        ("name: a\nparts:\n  a: {replica: 1}", "x.yaml:3: parts.a.replica: it is not a setting. Did you mean 'replicas'?"),
        ("name: a\nfoo: 1", "x.yaml:2: foo: it is not a setting. Known: name, parts, weights, anything."),
        ("parts: {}", "x.yaml:1: 'name' is missing."),
        ("name: a\nname: b", "x.yaml:2: name: it is there twice."),
        ("name: [a]", "x.yaml:1: name: a list stands where text belongs."),
        ("name: true", "x.yaml:1: name: 'true' stands where text belongs. Put it in quotes if it is meant so."),
        ("name: a\nparts: [1]", "x.yaml:2: parts: a list stands where settings belong."),
        ("name: a\nparts:\n  a:\n    replicas: two", "x.yaml:4: parts.a.replicas: 'two' stands where a whole number belongs."),
        ("name: a\nparts:\n  a:\n    replicas: 9", "x.yaml:4: parts.a.replicas: 9 is outside of what it can be. Use 1 to 8."),
        ("name: a\nparts: {a: {timeout: 5}}", "x.yaml:2: parts.a.timeout: 5 has no unit. Write a number and ms, s,"),
        ("name: a\nparts: {a: {timeout: 5 minuts}}", "x.yaml:2: parts.a.timeout: 'minuts' is not a unit of seconds."),
        ("name: a\nparts: {a: {timeout: -5s}}", "x.yaml:2: parts.a.timeout: '-5s' is not a quantity."),
        ("name: a\nparts: {a: {memory: 5s}}", "x.yaml:2: parts.a.memory: 's' is not a unit of megabytes."),
        ("name: a\nparts: {a: {share: 101}}", "x.yaml:2: parts.a.share: 101 is more than 100 percent."),
        ("name: a\nparts: {a: {kind: gpu}}", "x.yaml:2: parts.a.kind: 'gpu' is not known. Did you mean 'cpu'?"),
        ("name: a\nparts: {a: {keep: yes}}", "x.yaml:2: parts.a.keep: 'yes' stands where true or false belongs."),
        ("name: a\nparts: {a: {shapes: [{radius: 1}]}}", "x.yaml:2: parts.a.shapes[0]: 'shape' is missing. Known: circle, square."),
        ("name: a\nparts: {a: {shapes: [{shape: circel}]}}", "x.yaml:2: parts.a.shapes[0].shape: 'circel' is not known. Did you mean 'circle'?"),
        ("name: a\nweights: {a: 1}", "x.yaml:2: weights.a: it must be a whole number."),
        ("name: !!python/object:os.system a", "x.yaml:1: name: the tag python/object:os.system has no"),
        ("name: !thing a", "x.yaml:1: name: the tag !thing has no meaning here."),
        ("name: a\n\tparts: 1", "x.yaml:2: it is not YAML:"),
        ("name: a: b", "x.yaml:1: it is not YAML: mapping values are not allowed here."),
        ("anything: &a [*a]\nname: b", "x.yaml:1: anything[0]"),
        ("name: a\n---\nname: b", "x.yaml:2: it is not YAML:"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text, said):
    assert said in refused(text)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file():
    lines = refused("nam: a\nparts:\n  a: {replicas: 0}\n  b: {timeout: 3 hous}\nx: 1").splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "1", "3", "4", "5"]


def test_a_file_that_multiplies_itself_is_refused_quickly():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)
    )
    assert "too much" in refused("name: a\nanything:\n" + "\n".join(f"  {line}" for line in bomb.splitlines()))


def test_problems_of_rules_get_their_lines():
    found = read_declared("name: a\nparts:\n  a: {}\n", File, "x.yaml")
    with pytest.raises(InvalidSettings) as raised:
        found.check([Problem(("parts", "a", "replicas"), "there are too few", "Use more.")])
    assert raised.value.message == "x.yaml:3: parts.a.replicas: there are too few. Use more."
    assert found.check([]) is found.value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        read_declared(text, File, "x.yaml")
    except InvalidSettings as error:
        assert error.message.startswith("x.yaml")
