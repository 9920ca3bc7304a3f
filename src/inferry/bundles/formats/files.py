"""Files: which kind of one file is served by what, for a lone file or the one model in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inferry.bundles.formats import (
    boosters,
    fasttext,
    gguf,
    jax,
    keras,
    litert,
    onnx,
    openvino,
    sklearn,
    torch,
)
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.types.bundle import Detected

File = Callable[[Tree, Path], Detected]

FILES: dict[Kind, File] = {
    **onnx.FILES,
    **sklearn.FILES,
    **torch.FILES,
    **jax.FILES,
    **keras.FILES,
    **litert.FILES,
    **openvino.FILES,
    **boosters.FILES,
    **fasttext.FILES,
    **gguf.FILES,
}
