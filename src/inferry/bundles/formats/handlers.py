"""Scripts of other serving systems: SageMaker's inference.py, Azure ML's score.py, Hugging Face's handler.py.

Each is told by the functions or the class that its system calls. What those systems' images hold
already (a framework, its helpers) is asked for by what the script imports.
"""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.scripts import classes, functions, needs
from inferry.bundles.sniff import MAX_SOURCE, Kind, syntax_tree
from inferry.bundles.tree import Tree
from inferry.types.bundle import Detected

SAGEMAKER = {"model_fn", "predict_fn", "transform_fn"}


def sagemaker(tree: Tree) -> Detected | None:
    """A SageMaker model archive: code/inference.py, or inference.py at its top, beside the model's files."""
    path = _python(tree, "inference.py")
    if path is None or not SAGEMAKER & _functions(path):
        return None
    return _detected(tree, path, "sagemaker", "It is a SageMaker model with an inference script.")


def azureml(tree: Tree) -> Detected | None:
    """An Azure ML scoring script: init() and run(). score.py, else the one script that has both."""
    score = _python(tree, "score.py")
    speaking = [path for path in tree.of(Kind.PYTHON) if {"init", "run"} <= _functions(path)]
    if score in speaking:
        speaking = [score]
    elif any(tree.predicts(path) for path in tree.of(Kind.PYTHON)):
        return None
    if len(speaking) != 1:
        return None
    return _detected(tree, speaking[0], "azureml", "It is an Azure ML scoring script.")


def endpoint_handler(tree: Tree) -> Detected | None:
    """A handler of Hugging Face Inference Endpoints: handler.py with the class EndpointHandler."""
    path = _python(tree, "handler.py")
    module = syntax_tree(path.read_bytes()) if path is not None else None
    if path is None or module is None or "__call__" not in classes(module).get("EndpointHandler", ()):
        return None
    return _detected(tree, path, "endpoint_handler", "It is a handler of Hugging Face Inference Endpoints.")


def _python(tree: Tree, name: str) -> Path | None:
    path = tree.find(name)
    return path if path is not None and tree.kind(path) is Kind.PYTHON else None


def _functions(path: Path) -> set[str]:
    module = syntax_tree(path.read_bytes()) if path.stat().st_size <= MAX_SOURCE else None
    return functions(module) if module else set()


def _detected(tree: Tree, path: Path, runtime: str, why: str) -> Detected:
    requirements, notes = needs(tree, path)
    return Detected(runtime=runtime, entry=tree.name(path), requirements=requirements, why=why, notes=notes)
