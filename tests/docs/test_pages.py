"""The documentation's facts that code can check: links, the list of errors, the chapters' index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferry import errors
from tests.support.snippets import pages

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


def all_errors() -> list[type[errors.InferryError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [error for error in found if issubclass(error, errors.InferryError)]


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_every_error_code_is_documented_with_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.M)
    assert sorted(set(rows)) == sorted({(error.code, str(error.status)) for error in all_errors()})


def test_every_page_is_reachable_from_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / target).resolve() for target, _ in LINK.findall(index)}
    unlinked = (
        {page.resolve() for page in (ROOT / "docs").rglob("*.md")} - linked - {(ROOT / "docs/index.md").resolve()}
    )
    assert unlinked == set()
