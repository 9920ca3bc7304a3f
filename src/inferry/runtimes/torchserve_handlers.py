"""TorchServe's own handlers, as models packed for it need them: the base class and those for images.

Data flow: context -> the archive's TorchScript file, or its class with the weights -> rows of a request ->
`preprocess` (images to tensors) -> `inference` (no gradients) -> `postprocess` (labels from index_to_name.json).
Written from TorchServe's documentation; torch and Pillow come from the model's environment.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from inferry.errors import InvalidModel

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels


class BaseHandler:
    """Loads the model and calls it; what people inherit from."""

    def __init__(self) -> None:
        self.model: Any = None
        self.mapping: Any = None
        self.device: Any = None
        self.initialized = False
        self.context: Any = None
        self.manifest: Any = None
        self.map_location = "cpu"
        self.model_pt_path: str | None = None
        self.explain = False
        self.target = 0
        self.profiler_args: dict[str, Any] = {}

    def initialize(self, context: Any) -> None:
        """Load the serialized file: TorchScript, or weights for the class in modelFile."""
        import torch

        folder = Path(context.system_properties["model_dir"])
        self.context, self.manifest = context, context.manifest
        self.map_location = (
            "cuda" if torch.cuda.is_available() and context.system_properties["gpu_id"] is not None else "cpu"
        )
        self.device = torch.device(self.map_location)
        said = self.manifest["model"]
        if said.get("serializedFile"):
            self.model_pt_path = str(folder / said["serializedFile"])
        if said.get("modelFile"):
            self.model = self._load_pickled_model(str(folder), said["modelFile"], self.model_pt_path)
            self.model.to(self.device)
        elif self.model_pt_path:
            self.model = self._load_torchscript_model(self.model_pt_path)
        if hasattr(self.model, "eval"):
            self.model.eval()
        names = folder / "index_to_name.json"
        self.mapping = load_label_mapping(str(names)) if names.is_file() else None
        self.initialized = True

    def _load_torchscript_model(self, model_pt_path: str) -> Any:
        import torch

        return torch.jit.load(model_pt_path, map_location=self.device)

    def _load_pickled_model(self, model_dir: str, model_file: str, model_pt_path: str | None) -> Any:
        """The one class of the model's file, with its weights."""
        import torch

        path = Path(model_dir) / model_file
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise InvalidModel("The archive's model file is not a Python file.", help="Pack it again.")
        sys.path.insert(0, model_dir)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        found = list_classes_from_module(module, torch.nn.Module)
        if len(found) != 1:
            names = ", ".join(one.__name__ for one in found) or "none"
            raise InvalidModel(
                f"The archive's model file must define one torch module, and defines {names}.",
                help="Keep one class in the file that --model-file names.",
            )
        model = found[0]()
        if model_pt_path:
            model.load_state_dict(torch.load(model_pt_path, map_location=self.device, weights_only=True))
        return model

    def preprocess(self, data: Any) -> Any:
        """Rows of numbers as one tensor."""
        import torch

        return torch.as_tensor(np.asarray(_given(data[0])), device=self.device)

    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """The model called, without gradients."""
        import torch

        with torch.no_grad():
            given = data.to(self.device) if hasattr(data, "to") else data
            return self.model(given, *args, **kwargs)

    def postprocess(self, data: Any) -> Any:
        """A list with an element for each row."""
        return data.tolist()

    def handle(self, data: Any, context: Any) -> Any:
        """All three."""
        self.context = context
        return self.postprocess(self.inference(self.preprocess(data)))


class VisionHandler(BaseHandler):
    """Images, posted as bytes or base64, or numbers that are tensors already."""

    image_processing: Any = None

    def preprocess(self, data: Any) -> Any:
        """One batch of tensors [rows, channels, height, width]."""
        import torch
        from PIL import Image

        tensors = []
        for row in data:
            image = _given(row)
            if isinstance(image, str):
                image = base64.b64decode(image)
            if isinstance(image, bytes | bytearray):
                image = self.image_processing(Image.open(io.BytesIO(image)))
            else:
                image = torch.FloatTensor(image)
            tensors.append(image)
        return torch.stack(tensors).to(self.device)


class ImageClassifier(VisionHandler):
    """The `topk` (5) most probable classes of each image."""

    topk = 5

    def __init__(self) -> None:
        super().__init__()
        self.image_processing = self.image_processing or Prepared(resize=256, crop=224)

    def set_max_result_classes(self, topk: int) -> None:
        """How many classes are answered."""
        self.topk = topk

    def get_max_result_classes(self) -> int:
        """How many classes are answered."""
        return self.topk

    def postprocess(self, data: Any) -> Any:
        """[{class: probability}], the most probable first."""
        import torch

        ranked = torch.topk(torch.nn.functional.softmax(data, dim=1), min(self.topk, data.shape[1]), dim=1)
        return map_class_to_label(ranked.values.tolist(), self.mapping, ranked.indices.tolist())


class ImageSegmenter(VisionHandler):
    """The class and its probability for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.image_processing = self.image_processing or Prepared(resize=256, crop=224)

    def postprocess(self, data: Any) -> Any:
        """[rows, height, width, 2]: class, probability."""
        import torch

        scores = torch.nn.functional.softmax(data["out"] if isinstance(data, dict) else data, dim=1)
        best = scores.max(dim=1)
        return torch.stack([best.indices.type(scores.dtype), best.values], dim=3).tolist()


class ObjectDetector(VisionHandler):
    """Boxes with a score of at least `threshold`."""

    threshold = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.image_processing = self.image_processing or Prepared()

    def preprocess(self, data: Any) -> Any:
        """A list of tensors: images may differ in size."""
        return (
            list(super().preprocess(data))
            if len(data) == 1
            else [super(ObjectDetector, self).preprocess([row])[0] for row in data]
        )

    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """Boxes for each image."""
        import torch

        with torch.no_grad():
            answer = self.model([image.to(self.device) for image in data], *args, **kwargs)
        return answer[1] if isinstance(answer, tuple) else answer  # TorchScript gives losses, too

    def postprocess(self, data: Any) -> Any:
        """[[{class: [x1, y1, x2, y2], "score": p}]]."""
        found = []
        for image in data:
            kept = [at for at, score in enumerate(image["scores"].tolist()) if score >= self.threshold]
            labels = [str(label) for label in image["labels"].tolist()]
            names = [str(self.mapping.get(label, label)) if self.mapping else label for label in labels]
            boxes, scores = image["boxes"].tolist(), image["scores"].tolist()
            found.append([{names[at]: boxes[at], "score": scores[at]} for at in kept])
        return found


class Prepared:
    """An image as a tensor [3, height, width]; with `resize` and `crop` normalised as for ImageNet, too."""

    def __init__(self, resize: int = 0, crop: int = 0) -> None:
        self.resize, self.crop = resize, crop

    def __call__(self, image: Any) -> Any:
        """Shorter side to `resize`, the middle `crop` x `crop`, values 0..1, then mean and deviation."""
        import torch
        from PIL import Image

        image = image.convert("RGB")
        if self.resize:
            width, height = image.size
            short = min(width, height)
            size = (self.resize * width // short, self.resize * height // short)
            image = image.resize(size, Image.Resampling.BILINEAR)
            left, top = round((size[0] - self.crop) / 2), round((size[1] - self.crop) / 2)
            image = image.crop((left, top, left + self.crop, top + self.crop))
        values = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255
        if self.resize:
            values = (values - np.array(MEAN, np.float32)[:, None, None]) / np.array(DEVIATION, np.float32)[
                :, None, None
            ]
        return torch.from_numpy(np.ascontiguousarray(values))


def _given(row: Any) -> Any:
    """What a row holds."""
    if not isinstance(row, dict):
        return row
    return row["data"] if row.get("data") is not None else row.get("body")


def load_label_mapping(mapping_file_path: str) -> Any:
    """Names by class number, as text; None without the file."""
    path = Path(mapping_file_path)
    if not path.is_file():
        return None
    mapping = json.loads(path.read_text("utf-8"))
    if isinstance(mapping, dict) and isinstance(mapping.get("object_type_names"), list):
        mapping = dict(enumerate(mapping["object_type_names"]))
    return {str(key): value for key, value in mapping.items()}


def map_class_to_label(probs: Any, mapping: Any = None, lbl_classes: Any = None) -> list[dict[str, Any]]:
    """[{name: probability}] for each row. `mapping`: a name by class number, or the last of a list of names."""
    found = []
    for row, values in enumerate(probs):
        numbers = lbl_classes[row] if lbl_classes is not None else range(len(values))
        named = {}
        for number, value in zip(numbers, values, strict=True):
            name = mapping.get(str(number), number) if mapping is not None else number
            named[str(name[-1] if isinstance(name, list) else name)] = value
        found.append(named)
    return found


def list_classes_from_module(module: ModuleType, parent_class: type | None = None) -> list[type]:
    """The classes that a module defines itself."""
    found = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    return [one for one in found if parent_class is None or issubclass(one, parent_class)]
