"""Every kind of artifact: a sound one is recognised, a wrong or hostile one refused before anything opens it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.bundles.detect import detect
from inferry.bundles.formats.files import FILES
from inferry.bundles.formats.layouts import LAYOUTS
from inferry.bundles.formats.served import SERVED
from inferry.errors import InferryError
from inferry.plugins import names
from tests.support.kinds import KINDS, Files

FRAMEWORKS = Path(__file__).parents[2] / "frameworks"
AT_A_LOOK = [(kind, case) for kind, sort in KINDS.items() for case, bad in sort.bad().items() if not bad.opened]
REFUSERS = {"TORCH_TRUNCATED"}
"""Kinds that are there only to be refused."""
PARTS = {"folder"}
"""Layouts whose models are of a kind of file that has cases of its own."""

GUESTS = {"vllm"}
"""Runtimes of kinds that belong to another: vLLM serves transformers' folders where there is a GPU."""


def placed(root: Path, files: Files) -> Path:
    for name, data in files.items():
        path = root / "artifact" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root / "artifact"


def test_every_kind_that_is_taken_has_its_wrong_and_hostile_files() -> None:
    taken = {kind.name for kind in FILES} | {layout.__name__ for layout in LAYOUTS} | {"PYTHON", "ZIP", "TAR"}
    assert {sort.of for sort in KINDS.values()} == taken - REFUSERS - PARTS
    runtimes = {name for name in names("inferry.runtimes") if name in SERVED}
    assert runtimes == set(SERVED) == {sort.runtime for sort in KINDS.values()} | GUESTS
    for name, sort in KINDS.items():
        assert sort.cut or sort.late or "cut off" in sort.hostile or "a syntax error" in sort.hostile, (
            f"{name}: cut off"
        )
        assert sort.hostile or sort.late, f"{name}: nothing hostile"


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_one_is_recognised(tmp_path: Path, kind: str) -> None:
    assert detect(placed(tmp_path, KINDS[kind].files)).runtime == KINDS[kind].runtime


@pytest.mark.parametrize(("kind", "case"), AT_A_LOOK)
def test_a_wrong_or_hostile_one_is_refused_in_words_at_a_look(tmp_path: Path, kind: str, case: str) -> None:
    bad = KINDS[kind].bad()[case]
    with pytest.raises(InferryError) as refusal:
        detect(placed(tmp_path, bad.files))
    error = refusal.value
    assert error.code == bad.code
    assert any(words in error.message for words in bad.says.split("|")), error.message
    assert error.help
    assert str(tmp_path) not in error.sentence()
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize("kind", [kind for kind, sort in KINDS.items() if sort.late])
def test_what_only_the_framework_notices_is_shown_with_the_framework(kind: str) -> None:
    for shown in KINDS[kind].late:
        file, _, name = shown.partition("::")
        tree = ast.parse((FRAMEWORKS / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, shown


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_no_bytes_make_detection_fail_otherwise_than_by_refusing(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    files = dict(KINDS[kind].files)
    name = data.draw(st.sampled_from(sorted(files)))
    changed = bytearray(files[name])
    for at in data.draw(st.lists(st.integers(0, len(changed) - 1), max_size=6)):
        changed[at] = data.draw(st.integers(0, 255))
    files[name] = bytes(changed[: data.draw(st.integers(0, len(changed)))])
    try:
        assert detect(placed(tmp_path_factory.mktemp("kind"), files)).runtime
    except InferryError as error:
        assert error.help
