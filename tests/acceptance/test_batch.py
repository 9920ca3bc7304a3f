"""Batch scoring through the command line: every row once and in order, whatever is killed."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import inferry
from inferry.errors import Conflict, InvalidInput
from tests.support import models
from tests.support.platform import Platform


@pytest.fixture(scope="module")
def client(platform: Platform):
    with inferry.connect(platform.control, platform.key) as made:
        yield made


@pytest.fixture(scope="module")
def iris(platform: Platform, model_dir: Path) -> str:
    platform.deploy(models.iris_onnx(model_dir), "batch-iris")
    return "batch-iris"


@pytest.fixture(scope="module")
def table(platform: Platform, model_dir: Path) -> str:
    trained = models.jobs(model_dir)
    platform.deploy(trained, "batch-table", sample=trained.with_suffix(".csv"))
    return "batch-table"


ECHO = """
class Echo:
    def predict(self, rows):
        if any(isinstance(row, dict) and row.get("bad") for row in rows):
            raise ValueError("a bad row")
        return [{"seen": row} for row in rows]
"""


@pytest.fixture(scope="module")
def echo(platform: Platform, model_dir: Path) -> str:
    folder = model_dir / "batch-echo"
    folder.mkdir()
    (folder / "model.py").write_text(ECHO)
    platform.deploy(folder, "batch-echo")
    return "batch-echo"


@pytest.fixture(scope="session")
def arrow(tmp_path_factory: pytest.TempPathFactory, package_cache: dict[str, str]) -> str:
    """A folder that has the extra `arrow`, which the tests' own environment does without."""
    from inferry.environments.builder import locate_uv

    folder = tmp_path_factory.mktemp("arrow")
    command = [
        str(locate_uv()),
        "pip",
        "install",
        "--quiet",
        "--python",
        sys.executable,
        "--target",
        str(folder),
        "pyarrow",
    ]
    subprocess.run(command, check=True, env=os.environ | package_cache)
    return str(folder)


def write_iris(path: Path, rows: int) -> np.ndarray:
    values = np.random.default_rng(1).uniform(0.1, 7, (rows, 4)).astype("float32").round(3)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["a", "b", "c", "d"])
        out.writerows(values.tolist())
    return values


def lines_of(path: Path) -> list:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_csv_file_is_scored_in_order(platform, client, iris, tmp_path):
    values = write_iris(tmp_path / "rows.csv", 5_000)
    done = platform.cli("batch", iris, str(tmp_path / "rows.csv"), str(tmp_path / "out.csv"))
    assert (done["rows"], done["errors"], done["resumed"], done["versions"]) == (5_000, 0, 0, ["1"])
    expected = client.endpoint(iris).predict(values)
    with (tmp_path / "out.csv").open() as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["label", "probability_0", "probability_1", "probability_2", "error"]
    assert [int(row["label"]) for row in found] == expected.label.tolist()
    assert np.allclose([float(row["probability_2"]) for row in found], expected.probabilities[:, 2])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.csv.manifest.json", "out.csv", "rows.csv"]


async def test_an_event_loop_goes_on_meanwhile(platform, iris, tmp_path):
    write_iris(tmp_path / "rows.csv", 2_000)
    ticks = 0
    async with inferry.connect_async(platform.control, platform.key) as client:
        task = asyncio.create_task(client.batch(iris, tmp_path / "rows.csv", tmp_path / "out.csv"))
        while not task.done():
            ticks += 1
            await asyncio.sleep(0.01)
    assert task.result().rows == 2_000
    assert ticks > 3


def test_the_same_command_again_finds_it_done_and_another_is_refused(client, iris, tmp_path):
    source, target = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    write_iris(source, 50)
    assert client.batch(iris, source, target).resumed == 0
    before = target.read_bytes()
    assert client.batch(iris, source, target).resumed == 50
    write_iris(source, 60)
    with pytest.raises(Conflict, match="is there already"):
        client.batch(iris, source, target)
    assert client.batch(iris, source, target, overwrite=True).rows == 60
    assert target.read_bytes().startswith(before)


def test_a_table_with_words_and_gaps_gets_the_endpoints_own_answers(platform, client, table, tmp_path):
    rows = [
        {"age": 41, "income": 3.5, "job": "nurse", "member": True},
        {"age": 20, "income": 1.0, "job": "clerk", "member": False},
    ] * 40
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    assert client.batch(table, source, tmp_path / "out.jsonl").errors == 0
    expected = [row["label"] for row in platform.predict(table, rows)["predictions"]]
    assert [row["label"] for row in lines_of(tmp_path / "out.jsonl")] == expected
    keys = list(rows[0])
    text = "\n".join([",".join(keys), *(",".join(str(row[key]) for key in keys) for row in rows)])
    (tmp_path / "rows.csv").write_text(text)
    assert client.batch(table, tmp_path / "rows.csv", tmp_path / "out.csv").errors == 0
    with (tmp_path / "out.csv").open() as file:
        assert [row["label"] for row in csv.DictReader(file)] == expected


def test_rows_that_cannot_be_scored_fail_alone(client, iris, tmp_path):
    source = tmp_path / "rows.csv"
    write_iris(source, 400)
    lines = source.read_text().splitlines()
    lines[7], lines[100], lines[399] = "1,2,word,4", "1,2", "9,9,9"
    source.write_text("\n".join(lines) + "\n")
    done = client.batch(iris, source, tmp_path / "out.jsonl")
    assert (done.rows, done.errors) == (400, 3)
    found = lines_of(tmp_path / "out.jsonl")
    assert [place for place, row in enumerate(found) if "error" in row] == [6, 99, 398]
    assert found[6]["error"].startswith("invalid_input: ")
    assert "2 cells" in found[99]["error"]
    with pytest.raises(InvalidInput):
        client.batch(iris, source, tmp_path / "fast.jsonl", fail_fast=True)


def test_an_open_model_takes_any_json_and_a_row_it_raises_on_fails_alone(client, echo, tmp_path):
    rows = [{"n": n, "bad": n == 33} if n % 2 else [n, "x"] for n in range(80)]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{no json\n\n")
    done = client.batch(echo, source, tmp_path / "out.jsonl")
    assert (done.rows, done.errors) == (81, 2)
    found = lines_of(tmp_path / "out.jsonl")
    assert [row["prediction"]["seen"] for row in found[:33]] == rows[:33]
    assert found[33]["error"].startswith("model_failed: ")
    assert found[80]["error"].startswith("invalid_input: The line is not JSON")


def test_a_folder_becomes_a_folder(client, iris, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, rows in (("a.csv", 30), ("b.csv", 0), ("c.csv", 7)):
        write_iris(folder / name, rows)
    (folder / "_notes.csv").write_text("x")
    done = client.batch(iris, folder, tmp_path / "out")
    assert (done.rows, done.files) == (37, 3)
    sizes = {path.name: len(path.read_text().splitlines()) - 1 for path in (tmp_path / "out").glob("*.csv")}
    assert sizes == {"a.csv": 30, "b.csv": 0, "c.csv": 7}


def test_a_file_that_does_not_fit_ends_at_once(client, table, tmp_path):
    (tmp_path / "rows.csv").write_text("x\n" + "1\n" * 1000)
    with pytest.raises(InvalidInput, match="None of the first 100 rows"):
        client.batch(table, tmp_path / "rows.csv", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("source", "target"), [("rows.txt", "out.csv"), ("rows.csv", "out.xls"), ("folder", "out.csv")]
)
def test_unknown_kinds_are_refused(client, iris, tmp_path, source, target):
    (tmp_path / "rows.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    write_iris(tmp_path / "rows.csv", 1)
    with pytest.raises(InvalidInput):
        client.batch(iris, tmp_path / source, tmp_path / target)


def killed_until_done(
    platform: Platform, arguments: list[str], kills: int, pause_s: float, env: dict[str, str]
) -> dict:
    """The same command, killed at random and run again; what its last run said."""
    chance = random.Random(3)
    for _ in range(kills):
        process = subprocess.Popen(
            [*platform.command, "batch", *arguments, "--json"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(1, 1 + pause_s))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ended = subprocess.run(
        [*platform.command, "batch", *arguments, "--json"], env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def test_a_run_that_is_killed_goes_on_and_every_row_is_there_once(platform, client, iris, tmp_path):
    values = write_iris(tmp_path / "rows.csv", 100_000)
    arguments = [iris, str(tmp_path / "rows.csv"), str(tmp_path / "out.jsonl")]
    done = killed_until_done(platform, arguments, 4, 2.0, platform.env)
    assert (done["rows"], done["errors"]) == (100_000, 0)
    found = [row["label"] for row in lines_of(tmp_path / "out.jsonl")]
    assert found == client.endpoint(iris).predict(values).label.tolist()


@pytest.mark.slow
def test_a_million_rows_killed_ten_times_are_a_million_rows(platform, client, iris, tmp_path, arrow):
    env = {**platform.env, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), arrow])}
    code = (
        "import numpy, pyarrow, pyarrow.parquet, sys\n"
        "rows = numpy.random.default_rng(1).uniform(0.1, 7, (1_000_000, 4)).astype('float32')\n"
        "numpy.save(sys.argv[1] + '.npy', rows)\n"
        "pyarrow.parquet.write_table(pyarrow.table(dict(zip('abcd', rows.T))), sys.argv[1])\n"
    )
    source, target = tmp_path / "rows.parquet", tmp_path / "out.jsonl"
    subprocess.run([sys.executable, "-c", code, str(source)], env=env, check=True)
    done = killed_until_done(platform, [iris, str(source), str(target)], 10, 4.0, env)
    assert (done["rows"], done["errors"]) == (1_000_000, 0)
    values = np.load(f"{source}.npy")
    with target.open() as file:
        found = [json.loads(line)["label"] for line in file]
    assert len(found) == 1_000_000
    expected = [client.endpoint(iris).predict(values[at : at + 50_000]).label for at in range(0, 1_000_000, 50_000)]
    assert found == np.concatenate(expected).tolist()


def test_parquet_goes_in_and_comes_out_where_pyarrow_is(platform, iris, tmp_path, arrow):
    env = {**platform.env, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), arrow])}
    write_iris(tmp_path / "rows.csv", 3_000)
    code = (
        "import sys, pyarrow.csv, pyarrow.parquet\n"
        "pyarrow.parquet.write_table(pyarrow.csv.read_csv(sys.argv[1]), sys.argv[2], row_group_size=1000)\n"
    )
    source, target = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "rows.csv"), str(source)], env=env, check=True)

    def batch(*arguments: str) -> dict:
        ended = subprocess.run(
            [*platform.command, "batch", iris, *arguments, "--json"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    assert batch(str(source), str(target))["rows"] == 3_000
    batch(str(tmp_path / "rows.csv"), str(tmp_path / "out.csv"))
    code = (
        "import sys, json, pyarrow.parquet\n"
        "table = pyarrow.parquet.read_table(sys.argv[1])\n"
        "print(json.dumps([[str(field.type) for field in table.schema], table['label'].to_pylist()]))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(target)], env=env, capture_output=True, text=True, check=True
    )
    types, labels = json.loads(said.stdout)
    assert types == ["int64", "float", "float", "float", "string"]
    with (tmp_path / "out.csv").open() as file:
        assert labels == [int(row["label"]) for row in csv.DictReader(file)]


def test_without_pyarrow_parquet_says_what_to_install(platform, iris, tmp_path):
    write_iris(tmp_path / "rows.csv", 3)
    refused = platform.run("batch", iris, str(tmp_path / "rows.csv"), str(tmp_path / "out.parquet"))
    assert refused.returncode == 1
    assert "inferry[arrow]" in refused.stderr
    assert shutil.which("inferry") is None or not (tmp_path / "out.parquet").exists()
