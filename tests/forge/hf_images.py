# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A tiny vision transformer over three kinds of pictures of 16 x 16 pixels."""

import numpy as np
import torch
from hf_shared import saved, small, told
from transformers import ViTConfig, ViTForImageClassification

NAMES = ["cat", "dog", "bird"]

sizes = small(image_size=16, patch_size=8, num_channels=3)
del sizes["vocab_size"], sizes["max_position_embeddings"]
model = ViTForImageClassification(ViTConfig(**sizes, num_labels=3, id2label=dict(enumerate(NAMES))))
saved(model)
pixels = np.random.default_rng(0).normal(size=(5, 3, 16, 16)).astype(np.float32)
with torch.no_grad():
    logits = model(pixel_values=torch.tensor(pixels)).logits
told(
    {"pixel_values": pixels},
    {"logits": logits, "probabilities": logits.softmax(-1), "label": [NAMES[at] for at in logits.argmax(-1)]},
)
