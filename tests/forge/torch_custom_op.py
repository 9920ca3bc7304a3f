"""A program that calls an operator which only the script that exported it knows."""

# /// script
# dependencies = ["torch", "scikit-learn", "safetensors"]
# ///
import torch
from torch import library


@library.custom_op("mine::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@twice.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Model(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mine.twice(x)


torch.export.save(torch.export.export(Model(), (torch.ones(2, 3),)), "artifact.pt2")
