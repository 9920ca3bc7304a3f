"""A state_dict in double precision, saved by a compiled model's wrapper, with its class and a config.json: a table."""

# /// script
# dependencies = ["torch", "scikit-learn", "safetensors"]
# ///
import json
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_wine

SOURCE = '''"""Which wine?"""

import torch
from torch import nn


class Scale(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs, dtype=torch.float64))
        self.register_buffer("std", torch.ones(inputs, dtype=torch.float64))

    def forward(self, x):
        return (x - self.mean) / self.std


class Wine(nn.Module):
    def __init__(self, inputs: int, classes: int, hidden: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(Scale(inputs), nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, classes))
        self.double()

    def forward(self, x):
        scores = self.net(x)
        return {"label": scores.argmax(1), "probabilities": scores.softmax(1)}
'''

Path("artifact").mkdir(exist_ok=True)
Path("artifact/wine.py").write_text(SOURCE)
sys.path.insert(0, "artifact")
import wine  # noqa: E402

torch.manual_seed(0)
data = load_wine()
x, y = torch.tensor(data.data), torch.tensor(data.target)
config = {"inputs": 13, "classes": 3, "hidden": 12}
model = wine.Wine(**config)
model.net[0].mean.copy_(x.mean(0))
model.net[0].std.copy_(x.std(0))
adam = torch.optim.Adam(model.parameters(), 0.02)
for _ in range(80):
    adam.zero_grad()
    torch.nn.functional.cross_entropy(model.net(x), y).backward()
    adam.step()
Path("artifact/config.json").write_text(json.dumps(config))
weights = {f"_orig_mod.{name}": one for name, one in model.state_dict().items()}
torch.save({"epoch": 80, "state_dict": weights}, "artifact/weights.pth")
names = [name.replace("/", "_") for name in data.feature_names]
lines = [",".join(names), *(",".join(f"{value:g}" for value in row) for row in data.data[::20])]
Path("sample.csv").write_text("\n".join(lines) + "\n")
held = data.data[5::17]
with torch.inference_mode():
    answer = model.eval()(torch.tensor(held))
np.savez("inputs.npz", **{name: held[:, at] for at, name in enumerate(names)})
np.savez("expected.npz", **{name: one.numpy() for name, one in answer.items()})
