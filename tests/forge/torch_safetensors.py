"""safetensors with tied weights, the class in a Python file: ids and a mask in, a tuple out."""

# /// script
# dependencies = ["torch", "scikit-learn", "safetensors"]
# ///
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_model

SOURCE = """import torch
from torch import nn


class Language(nn.Module):
    def __init__(self, words=40, size=16):
        super().__init__()
        self.words = nn.Embedding(words, size)
        self.mix = nn.TransformerEncoderLayer(size, 2, 32, batch_first=True)
        self.out = nn.Linear(size, words, bias=False)
        self.out.weight = self.words.weight

    def forward(self, ids, mask):
        mask = mask.bool()
        hidden = self.mix(self.words(ids), src_key_padding_mask=~mask)
        pooled = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return self.out(pooled), pooled, None
"""

Path("artifact").mkdir(exist_ok=True)
Path("artifact/language.py").write_text(SOURCE)
sys.path.insert(0, "artifact")
import language  # noqa: E402

torch.manual_seed(0)
model = language.Language()
save_model(model, "artifact/model.safetensors")
ids = torch.randint(0, 40, (5, 7))
mask = (torch.arange(7) < torch.tensor([7, 3, 5, 1, 6])[:, None]).long()
with torch.inference_mode():
    scores, pooled, _ = model.eval()(ids, mask)
np.savez("sample.npz", ids=ids[:3].numpy(), mask=mask[:3].numpy())
np.savez("inputs.npz", ids=ids.numpy(), mask=mask.numpy())
np.savez("expected.npz", output_0=scores.numpy(), output_1=pooled.numpy())
