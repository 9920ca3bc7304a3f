"""GGUF files that make embeddings, through llama.cpp's own server: `text` BYTES [-1] to `embedding` FP32 [-1, size].

Data flow: a request's texts -> one body for the engine, whose slots share its batch -> rows of length 1, in the
texts' order, and how many tokens were read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InvalidInput, ModelFailed
from inferry.interfaces.runtime import Asker, Said
from inferry.runtimes.arrays import ArrayModel, Opened
from inferry.runtimes.speaking import told
from inferry.runtimes.tensors import as_text
from inferry.types.signature import Signature, TensorSpec
from inferry.types.text import first_line

EMBEDDING = "feature-extraction"
TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
EXAMPLES = ("Hello, how are you?", "The weather in Paris was lovely yesterday.")


class EmbeddingModel(ArrayModel):
    """The engine, asked for embeddings."""

    def __init__(self, server: Any, context: int, slots: int, signature: Signature | None, load_ms: float) -> None:
        opened = Opened(
            call=lambda inputs: {"embedding": self._embed(inputs["text"])[0]}, inputs=(TEXT,), stacks=False,
            task=EMBEDDING, example={TEXT.name: np.array(EXAMPLES, dtype=object)},
            details={"context": context, "slots": slots},
        )  # fmt: skip
        super().__init__(opened, signature, load_ms)
        self.slots = slots
        self._server = server

    def respond(self, inputs: Any, asker: Asker) -> Said:
        """Answer the texts of one request."""
        rows, read = self._embed(as_text(inputs["text"]))
        return Said({"embedding": rows}, read)

    def _embed(self, texts: Iterable[str]) -> tuple[Any, int]:
        """A row for each text, and how many tokens were read. Raises what the engine refuses."""
        asked = msgspec.json.encode({"input": [str(text) for text in texts], "encoding_format": "float"})
        try:
            answer = msgspec.json.decode(self._server.handle_embeddings(asked))
        except ValueError as error:  # the engine's word for a body that it cannot read
            raise InvalidInput(first_line(str(error), 400)) from error
        if "data" not in answer:
            problem = answer.get("error", answer)
            message = str(problem.get("message"))
            if "too large" in message or "larger than" in message:
                raise InvalidInput(f"A text is longer than the model reads: {first_line(message)}", help="Shorten it.")
            raise told(problem)
        rows = sorted(answer["data"], key=lambda one: one["index"])
        made = np.array([one["embedding"] for one in rows], dtype=np.float32)
        if made.ndim != 2:
            raise ModelFailed("The engine made no row for each text.", help="Does the file say how it pools?")
        return made, int(answer["usage"]["prompt_tokens"])
