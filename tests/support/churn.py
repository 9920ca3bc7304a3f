"""A small model that can be better or worse, with held-out rows: what gates are tried on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

ROWS, HELD_OUT = 1200, 400
FEATURES = ("age", "income")

FAULTY = '''
import math
import os


class Faulty:
    """Answers by the place in the batch, no number for a large age, and dies of a negative income."""

    def predict(self, inputs):
        if min(inputs["income"]) < 0:
            os._exit(9)
        ages = [math.nan if value > 1e300 else float(value) for value in inputs["age"]]
        return {"label": ["maybe"] * len(ages), "score": [age + place for place, age in enumerate(ages)]}
'''


def write(into: Path) -> Path:
    """good.onnx, worse.onnx, faulty/ (a Python model), holdout.csv, sample.csv, golden.jsonl and test_model.py."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    into.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    age, income = random.integers(18, 80, ROWS).astype(float), random.normal(50, 12, ROWS).round(2)
    region = random.choice(["north", "south"], ROWS)
    churned = np.where(0.05 * age - 0.08 * income + random.normal(0, 0.5, ROWS) > -1.5, "yes", "no")
    rows = np.column_stack([age, income]).astype(np.float32)
    early = slice(0, ROWS - HELD_OUT)
    noisy = np.where(random.random(ROWS - HELD_OUT) < 0.35, "yes", churned[early])
    for name, labels in {"good": churned[early], "worse": noisy}.items():
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[early], labels)
        graph = to_onnx(model, rows[:1], options={"zipmap": False})
        (into / f"{name}.onnx").write_bytes(graph.SerializeToString())
        if name == "good":
            told = zip(rows[:5].tolist(), model.predict(rows[:5]).tolist(), strict=True)
            lines = [json.dumps({"input": [row], "expected": label}) for row, label in told]
            (into / "golden.jsonl").write_text("\n".join(lines) + "\n")
    held = range(ROWS - HELD_OUT, ROWS)
    lines = [f"{age[at]:g},{income[at]:g},{region[at]},{churned[at]}" for at in held]
    (into / "holdout.csv").write_text("\n".join(["age,income,region,churned", *lines]) + "\n")
    (into / "sample.csv").write_text("age,income\n41.5,50.5\n67,31\n")
    faulty = into / "faulty"
    faulty.mkdir()
    (faulty / "model.py").write_text(FAULTY)
    (faulty / "settings.txt").write_text("token = ghp_" + "a1B2" * 9 + "\n")
    (faulty / "extra.pkl").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    (into / "test_model.py").write_text(
        "import os\n\nimport inferry\n\n\n"
        "def test_old_people_with_little_money_leave():\n"
        "    client = inferry.connect(os.environ['INFERRY_TEST_URL'])\n"
        "    endpoint = client.endpoint(os.environ['INFERRY_TEST_ENDPOINT'])\n"
        "    answer = endpoint.predict([[79, 20]])\n"
        "    client.close()\n"
        "    assert answer[0]['label'] == 'yes'\n"
    )
    return into
