"""Starting costs little: importing the package and asking for help load no framework."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["onnxruntime", "onnx", "sklearn", "skops", "pandas", "torch", "sqlalchemy", "alembic", "uvicorn", "numpy"]
CPU_SECONDS = 0.150

REPORT = f"""
import json, sys, time
print(json.dumps([time.process_time(), sorted(set({HEAVY}) & set(sys.modules))]), file=sys.stderr)
"""
IMPORT = "import inferry\n"
HELP = """
import sys
from inferry.cli.main import main
sys.argv = ["inferry", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import inferry", "inferry --help"])
def test_no_framework_is_loaded_and_cpu_stays_small(code: str) -> None:
    runs = []
    for _ in range(5):  # the best of a few: other work on the machine must not decide
        result = subprocess.run(
            [sys.executable, "-c", code + REPORT], capture_output=True, text=True, timeout=30, check=False
        )
        assert result.returncode == 0, result.stderr
        seconds, heavy = json.loads(result.stderr.splitlines()[-1])
        assert heavy == []
        runs.append(seconds)
    assert min(runs) < CPU_SECONDS
