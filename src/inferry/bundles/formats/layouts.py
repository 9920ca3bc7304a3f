"""Layouts: the recognisers of whole folders, in the order in which they are asked.

Whoever marks a folder most clearly comes first: a package of another system before the framework that lies in it.
"""

from __future__ import annotations

from collections.abc import Callable

from inferry.bundles.formats import bentoml, handlers, huggingface, mlflow, spacy, tensorflow, torch, torchserve, triton
from inferry.bundles.tree import Tree
from inferry.types.bundle import Detected

Layout = Callable[[Tree], Detected | None]

LAYOUTS: tuple[Layout, ...] = (
    mlflow.mlflow,
    torchserve.torchserve,
    triton.triton,
    bentoml.bentoml,
    handlers.sagemaker,
    handlers.endpoint_handler,
    handlers.azureml,
    tensorflow.saved_model,
    *spacy.LAYOUTS,
    *torch.LAYOUTS,
    *huggingface.LAYOUTS,
)
