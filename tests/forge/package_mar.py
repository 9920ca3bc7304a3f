# /// script
# dependencies = [
#   "torch", "torchvision", "numpy", "pillow", "torch-model-archiver==0.12.0", "torchserve==0.12.0", "psutil",
#   "packaging", "pyyaml", "captum",
# ]
# ///
"""A .mar of TorchServe's own image_classifier: TorchScript and index_to_name.json; answered by TorchServe's handler."""

import base64
import io
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import torch
from PIL import Image

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 7, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(),
    torch.nn.Linear(128, 10),
).eval()  # fmt: skip
with torch.no_grad():
    net[4].weight.mul_(20)
torch.jit.script(net).save("model.pt")
Path("index_to_name.json").write_text(json.dumps({str(n): ["n0", f"thing {n}"] for n in range(10)}))
subprocess.run(
    [Path(sys.executable).with_name("torch-model-archiver"), "--model-name", "artifact", "--version", "1.0",
     "--serialized-file", "model.pt", "--extra-files", "index_to_name.json", "--handler", "image_classifier"],
    check=True,
)  # fmt: skip
draw = np.random.default_rng(0)
pictures = []
for height, width in ((300, 400), (257, 255), (90, 131)):
    small = Image.fromarray(draw.integers(0, 255, (9, 11, 3), dtype=np.uint8))
    data = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(data, "PNG")
    pictures.append(data.getvalue())

from ts.torch_handler.image_classifier import ImageClassifier  # noqa: E402 - TorchServe's own

handler = ImageClassifier()
context = types.SimpleNamespace(
    system_properties={"model_dir": ".", "gpu_id": None}, manifest={"model": {"serializedFile": "model.pt"}},
    model_yaml_config={}, metrics=None, get_request_header=lambda *_: None,
)  # fmt: skip
handler.initialize(context)
with torch.no_grad():
    said = [handler.postprocess(handler.inference(handler.preprocess([{"data": one}])))[0] for one in pictures]
encoded = [base64.b64encode(one).decode() for one in pictures]
Path("sample.json").write_text(json.dumps({"data": encoded[0]}))
Path("pictures.json").write_text(json.dumps({"pictures": encoded, "said": said}))
Path("model.pt").unlink()
