# /// script
# dependencies = ["torch", "numpy", "torch-model-archiver==0.12.0"]
# ///
"""A .mar of an eager model with a handler class of its own, on BaseHandler."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

MODEL = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

    def forward(self, x):
        return self.layers(x)
"""
HANDLER = """
import torch
from ts.torch_handler.base_handler import BaseHandler


class Rows(BaseHandler):
    def initialize(self, context):
        super().initialize(context)
        self.scale = context.model_yaml_config["scale"]

    def preprocess(self, data):
        rows = [row.get("data") or row.get("body") for row in data]
        return torch.tensor(rows, dtype=torch.float32) * self.scale

    def postprocess(self, data):
        return [{"scores": row.tolist(), "best": int(row.argmax())} for row in data]
"""
torch.manual_seed(0)
Path("net.py").write_text(MODEL)
Path("rows_handler.py").write_text(HANDLER)
Path("settings.yaml").write_text("scale: 0.5\nminWorkers: 1\n")
sys.path.insert(0, ".")
import net  # noqa: E402 - as it is packed

model = net.Net().eval()
torch.save(model.state_dict(), "weights.pt")
subprocess.run(
    [Path(sys.executable).with_name("torch-model-archiver"), "--model-name", "artifact", "--version", "1.0",
     "--serialized-file", "weights.pt", "--model-file", "net.py", "--handler", "rows_handler.py",
     "--config-file", "settings.yaml"],
    check=True,
)  # fmt: skip
held = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
with torch.no_grad():
    said = model(torch.tensor(held) * 0.5).numpy()
Path("sample.json").write_text(json.dumps({"instances": [{"data": row} for row in held[:2].tolist()]}))
np.savez("inputs.npz", rows=held)
np.savez("expected.npz", scores=said, best=said.argmax(axis=1))
