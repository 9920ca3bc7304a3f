"""The example plugin: installed beside the platform, it serves a format that the platform does not know."""

from pathlib import Path

from tests.support.platform import Platform

ROOT = Path(__file__).parents[2]


def test_the_example_plugin_serves_its_own_format(tmp_path, forge, package_cache):
    python = forge.python((str(ROOT), str(ROOT / "examples/plugin")))
    platform = Platform(tmp_path / "home", env=package_cache, command=[str(python.with_name("inferry"))])
    platform.env.pop("PYTHONPATH", None)
    try:
        platform.start()
        row = next(row for row in platform.cli("runtimes")["runtimes"] if row["name"] == "scorecard")
        assert row["plugin"]
        assert row["ready"]
        made = platform.deploy(ROOT / "examples/plugin/risk.csv", "risk")
        assert made["runtime"] == "scorecard"
        rows = [{"age": 30, "income": 2.0}, {"age": 50, "income": 9.0}, {"age": None, "income": 1.0}]
        answer = platform.predict("risk", rows)
        assert [one["score"] for one in answer["predictions"]] == [45.0, 75.0, 5.0]
        assert platform.run("deploy", str(ROOT / "README.md"), "--name", "readme").returncode == 1
    finally:
        platform.close()


def test_it_is_under_sixty_lines():
    assert len((ROOT / "examples/plugin/src/inferry_scorecard/__init__.py").read_text().splitlines()) < 60
