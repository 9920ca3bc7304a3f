"""BentoML: a service with array input, a file for an image; batching is an argument of the decorator."""

from pathlib import Path

import bentoml
import numpy as np
from session import BATCH, SHAPE, open_session

BATCHING = {"batchable": True, "max_batch_size": BATCH} if BATCH > 1 else {}


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Model:
    """One worker."""

    def __init__(self) -> None:
        self.session = open_session()

    @bentoml.api(**BATCHING)
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"x": inputs.astype(np.float32)})[-1]

    @bentoml.api
    def image(self, file: Path) -> np.ndarray:
        pixels = np.frombuffer(file.read_bytes(), dtype=np.float32).reshape(1, *SHAPE)
        return self.session.run(None, {"x": pixels})[-1]
