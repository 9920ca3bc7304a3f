"""TorchScript: a network over images of digits, scripted."""

# /// script
# dependencies = ["torch", "scikit-learn", "safetensors"]
# ///
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn


class Digits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.classify = nn.Sequential(nn.Dropout(0.5), nn.Linear(8 * 9, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(images / 16).flatten(1))


torch.manual_seed(0)
digits, target = load_digits(return_X_y=True)
images = digits.reshape(-1, 1, 8, 8).astype(np.float32)
model = Digits()
adam = torch.optim.Adam(model.parameters(), 0.01)
for _ in range(60):
    adam.zero_grad()
    nn.functional.cross_entropy(model(torch.tensor(images[:1500])), torch.tensor(target[:1500])).backward()
    adam.step()
torch.jit.script(model).save("artifact.pt")  # left in training mode: whoever serves it must not drop out
held = images[1500:1516]
with torch.inference_mode():
    answer = model.eval()(torch.tensor(held)).numpy()
assert (answer.argmax(1) == target[1500:1516]).mean() > 0.8
np.save("sample.npy", images[:8])
np.savez("inputs.npz", images=held)
np.savez("expected.npz", output=answer)
