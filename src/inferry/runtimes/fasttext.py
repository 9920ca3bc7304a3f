"""fastText classifiers.

Data flow: file -> model -> `predict`: each text as one line -> its likeliest label, without fastText's
prefix, and how probable that is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.tensors import Array
from inferry.types.signature import TensorSpec

PREFIX = "__label__"


class FasttextRuntime(ArrayRuntime):
    """The runtime plugin "fasttext"."""

    imports: ClassVar[tuple[str, ...]] = ("fasttext",)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """A text without any known word has the label "" and the probability 0."""
        import fasttext

        model = fasttext.load_model(str(path))

        def call(inputs: dict[str, Array]) -> dict[str, Array]:
            labels, scores = [], []
            for text in inputs["text"]:
                found, probabilities = model.predict(" ".join(text.splitlines()), k=1)
                labels.append(found[0].removeprefix(PREFIX) if found else "")
                scores.append(probabilities[0] if found else 0.0)
            return {"label": np.array(labels, dtype=object), "probability": np.array(scores, dtype=np.float32)}

        text = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
        return Opened(call=call, inputs=[text], table=True, task="classification", independent=True)
