"""A whole module pickled by the script that defines its class, with that script beside it."""

# /// script
# dependencies = ["torch", "scikit-learn", "safetensors"]
# ///
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Curve(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.clamp_(-3, 3))  # in place: what it was given must not change for others


if __name__ == "__main__":
    torch.manual_seed(0)
    x = torch.linspace(-4, 4, 64)[:, None]
    model = Curve()
    adam = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(100):
        adam.zero_grad()
        nn.functional.mse_loss(model(x.clone()), x.sin()).backward()
        adam.step()
    Path("artifact").mkdir(exist_ok=True)
    torch.save(model, "artifact/curve.pt")
    shutil.copy(__file__, "artifact/train.py")
    held = np.array([[-4], [-1], [0.25], [2], [5]], np.float32)
    with torch.inference_mode():
        answer = model.eval()(torch.tensor(held)).numpy()
    Path("sample.json").write_text("[[-4], [0], [1], [2], [5]]")  # whole numbers, where forward takes fractions
    np.savez("inputs.npz", x=held)
    np.savez("expected.npz", output=answer)
