"""The networks of PyTorch that bench.networks converts; also the file that the saved weights belong to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x).softmax(1)


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(16), nn.GELU(), nn.Conv2d(16, 16, 3, padding=1)) for _ in range(4)
        )
        self.last = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden.mean((2, 3)))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 32, num_layers=2, batch_first=True, bidirectional=True)
        self.last = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.rnn(x)[0][:, -1])


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, 32, batch_first=True)
        self.look = nn.MultiheadAttention(32, 4, batch_first=True)
        self.last = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.rnn(x)[0]
        return self.last(self.look(hidden, hidden, hidden, need_weights=False)[0].mean(1))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(97, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.last = nn.Linear(32, 2)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.layer(self.letters(ids), src_key_padding_mask=mask == 0) * mask.unsqueeze(-1)
        pooled = hidden.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return self.last(pooled), pooled


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.EmbeddingBag(97, 16, mode="mean", padding_idx=0)
        self.last = nn.Linear(16, 2)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.last(self.letters(ids)) * mask.any(1, keepdim=True)
        return {"label": scores.argmax(1), "scores": scores}


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 32), nn.SiLU(), nn.Linear(32, 8))
        self.decode = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 64), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        code = self.encode(x)
        return self.decode(code), code


class Double(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1)).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.double())


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(13, 32), nn.LayerNorm(32), nn.ELU())
        self.scores, self.strength = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.body(x)
        return {"scores": self.scores(hidden).log_softmax(1), "strength": fn.softplus(self.strength(hidden))}


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(13, 32), nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(fn.dropout(self.first(x).relu(), 0.5, training=True))


def save(name: str, form: str, rows: dict[str, Any], target: Any, folder: Path) -> None:
    """A network trained for a few dozen steps, saved in its form."""
    torch.manual_seed(0)
    model = globals()[name]()
    tensors = tuple(torch.tensor(array) for array in rows.values())
    whole = target.dtype.kind == "i"
    wanted = torch.tensor(target, dtype=torch.int64 if whole else torch.float64)
    if name == "Autoencoder":
        wanted, whole = tensors[0], False
    adam = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        adam.zero_grad()
        answer = model(*tensors)
        answer = answer["scores"] if isinstance(answer, dict) else answer
        answer = answer[0] if isinstance(answer, tuple) else answer
        loss = fn.cross_entropy(answer, wanted) if whole else fn.mse_loss(answer.reshape(wanted.shape), wanted)
        loss.backward()
        adam.step()
    model.eval()
    if form == "TorchScript":
        torch.jit.script(model).save(str(folder / "model.pt"))
    elif form == "program":
        row = torch.export.Dim("row")
        example = tuple(tensor[:4] for tensor in tensors)
        program = torch.export.export(model, example, dynamic_shapes=tuple({0: row} for _ in example))
        torch.export.save(program, folder / "model.pt2")
    else:
        torch.save(model.state_dict(), folder / "model.pth")
        shutil.copy(__file__, folder / "network.py")
        (folder / "config.json").write_text(json.dumps({"class": name}))
