"""GGUF language models, once their header adds up; served by llama.cpp in an environment of their own."""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.gguf_header import Header, read_header
from inferry.bundles.requirements import merged
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

ENGINE = "xllamacpp>=2026.10"
EMBEDDING = "feature-extraction"
EMBEDDERS = frozenset((
    "bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "eurobert",
    "gemma-embedding",
))  # fmt: skip
OTHERS = frozenset(("t5encoder", "clip", "wavtokenizer-dec"))


def gguf(tree: Tree, path: Path) -> Detected:
    """The language model in one file. InvalidModel for a false header, a part of a model and what writes no text."""
    header = read_header(path)
    _check(header)
    embeds = header.architecture in EMBEDDERS
    notes = (
        () if header.chats or embeds else ("It has no chat template, so chats are written in a common form (ChatML).",)
    )
    name = header.values.get("general.name")
    called = f" ({name[:60]!a})" if isinstance(name, str) and name else ""
    return Detected(
        runtime="llm",
        entry=tree.name(path),
        requirements=merged((ENGINE,), tree.asked(path)),
        options={"trained": header.context} | ({"task": EMBEDDING} if embeds else {"chats": header.chats}),
        notes=notes,
        why=f"It is {Kind.GGUF.value}{called}.",
    )


def _check(header: Header) -> None:
    kind, parts = header.values.get("general.type", "model"), header.values.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise InvalidModel(
            f"The GGUF file is one of {parts} parts of a model.",
            help="Join them: llama-gguf-split --merge FIRST-PART.gguf WHOLE.gguf",
        )
    if kind != "model":
        raise InvalidModel(
            f"The GGUF file holds {str(kind)[:40]!a}, not a whole model.", help="Give the model's own file."
        )
    if not header.architecture:
        raise InvalidModel("The GGUF file does not say which architecture it has.", help="Convert the model again.")
    if header.architecture in OTHERS:
        raise InvalidModel(
            f"The GGUF file holds {header.architecture[:40]!a}, which neither writes text nor makes embeddings.",
            help="For embeddings, give the model as a sentence-transformers folder or in ONNX.",
        )
    if not header.tensors:
        raise InvalidModel("The GGUF file has no tensors.", help="Give the model, not only its vocabulary.")
    if "tokenizer.ggml.model" not in header.values:
        raise InvalidModel("The GGUF file has no tokenizer.", help="Convert the model again, with its tokenizer.")


FILES = {Kind.GGUF: gguf}
