"""Every snippet of the documentation runs, page by page, against a real platform.

The pages speak of the default ports and home; they are run against the test's own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples import train
from tests.support.platform import Platform, inferry_command
from tests.support.snippets import RUN, SHOWN, Snippet, pages, snippets

ROOT = Path(__file__).parents[2]
PAGES = [page for page in pages(ROOT) if any(snippet.runs for snippet in snippets(page))]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform for the documentation alone: its pages choose endpoint names freely."""
    running = Platform(tmp_path_factory.mktemp("docs") / "home")
    try:
        yield running.start()
    finally:
        running.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `python examples/train.py .` leaves, with the examples beside it."""
    folder = tmp_path_factory.mktemp("files")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    train.main(folder)
    return folder


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which `inferry` and `python` are the ones under test, and curl fails when it is refused."""
    folder = tmp_path_factory.mktemp("bin")
    command = inferry_command()
    for name, words in {"inferry": command, "python": [sys.executable]}.items():
        script = folder / name
        script.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in words) + ' "$@"\n')
        script.chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])


def adapted(code: str, platform: Platform) -> str:
    """The snippet for the platform under test."""
    for written, meant in {
        "http://127.0.0.1:8000": platform.http,
        "http://127.0.0.1:8080": platform.control,
        "127.0.0.1:8001": platform.grpc,
        "~/.inferry": str(platform.home),
    }.items():
        code = code.replace(written, meant)
    return code


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_snippets_of_the_page_run(page: Path, platform: Platform, files: Path, path: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(files, work)
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    env = {**platform.env, "PATH": path, "CURL_HOME": str(tmp_path)}
    for snippet in snippets(page):
        if snippet.runs:
            run(snippet, platform, work, env)


def run(snippet: Snippet, platform: Platform, work: Path, env: dict[str, str]) -> None:
    """One snippet in the page's folder; AssertionError with its place and output when it fails."""
    command = [adapted(word, platform) for word in snippet.command()]
    result = subprocess.run(
        command, cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    place = f"{snippet.page.relative_to(ROOT)}:{snippet.line}"
    assert result.returncode == 0, (
        f"{place} ended with {result.returncode}\n{command[-1]}\n-- stdout\n{result.stdout}\n-- stderr\n{result.stderr}"
    )


def test_every_block_names_a_language_that_is_run_or_shown() -> None:
    odd = [
        f"{snippet.page.relative_to(ROOT)}:{snippet.line} {snippet.language or '(none)'}"
        for page in pages(ROOT)
        for snippet in snippets(page)
        if snippet.language not in RUN + SHOWN
    ]
    assert odd == []


def test_every_fence_is_a_block_that_the_test_sees() -> None:
    for page in pages(ROOT):
        fences = [line for line in page.read_text(encoding="utf-8").splitlines() if line.lstrip().startswith("```")]
        assert len(fences) == 2 * len(snippets(page)), page


def test_blocks_that_are_not_run_are_few_or_covered_by_the_test_they_name() -> None:
    skipped = [snippet for page in pages(ROOT) for snippet in snippets(page) if snippet.not_run]
    named = {snippet.not_run: re.search(r"tests/frameworks/test_\w+\.py", snippet.not_run) for snippet in skipped}
    missing = [name[0] for name in named.values() if name and not (ROOT / name[0]).is_file()]
    assert not missing
    others = [snippet for snippet in skipped if not named[snippet.not_run]]
    ran = [snippet for page in pages(ROOT) for snippet in snippets(page) if snippet.runs]
    assert len(others) * 4 <= len(ran), [f"{s.page.name}:{s.line} {s.not_run}" for s in others]
