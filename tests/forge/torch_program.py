"""torch.export: two inputs of a free number of rows, one of them in bfloat16 inside, a dict of answers."""

# /// script
# dependencies = ["torch", "scikit-learn", "safetensors"]
# ///
import numpy as np
import torch
from torch import nn


class Fusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(50, 8)
        self.head = nn.Linear(12, 3)

    def forward(self, tokens: torch.Tensor, *, dense: torch.Tensor) -> dict[str, torch.Tensor]:
        both = torch.cat([self.words(tokens), dense.float()], 1)
        return {"scores": self.head(both).softmax(1), "embedding": both.to(torch.bfloat16)}


torch.manual_seed(0)
model = Fusion().eval()
tokens, dense = torch.randint(0, 50, (6, 5)), torch.randn(6, 4).to(torch.bfloat16)
rows = torch.export.Dim("rows")
program = torch.export.export(
    model, (tokens,), {"dense": dense}, dynamic_shapes={"tokens": {0: rows}, "dense": {0: rows}}
)
torch.export.save(program, "artifact.pt2")
with torch.inference_mode():
    answer = model(tokens, dense=dense)
np.savez("inputs.npz", tokens=tokens.numpy(), dense=dense.float().numpy())
np.savez("expected.npz", scores=answer["scores"].numpy(), embedding=answer["embedding"].float().numpy())
