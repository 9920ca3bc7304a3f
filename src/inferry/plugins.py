"""Plugins: finds a plugin by entry point and loads only the one chosen.

Built-ins are declared the same way in our own pyproject. When the package's metadata is
not there (a model's environment has only the source), the built-in table below answers.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from inferry.errors import MissingPlugin

BUILT_IN: dict[str, dict[str, str]] = {
    "inferry.runtimes": {
        "onnx": "inferry.runtimes.onnx:OnnxRuntime",
        "sklearn": "inferry.runtimes.sklearn:SklearnRuntime",
        "python": "inferry.runtimes.python:PythonRuntime",
        "torch": "inferry.runtimes.torch:TorchRuntime",
        "jax": "inferry.runtimes.jax:JaxRuntime",
        "xgboost": "inferry.runtimes.xgboost:XgboostRuntime",
        "lightgbm": "inferry.runtimes.lightgbm:LightgbmRuntime",
        "catboost": "inferry.runtimes.catboost:CatboostRuntime",
        "fasttext": "inferry.runtimes.fasttext:FasttextRuntime",
        "spacy": "inferry.runtimes.spacy:SpacyRuntime",
        "mlflow": "inferry.runtimes.mlflow:MlflowRuntime",
        "sagemaker": "inferry.runtimes.sagemaker:SagemakerRuntime",
        "torchserve": "inferry.runtimes.torchserve:TorchServeRuntime",
        "azureml": "inferry.runtimes.azureml:AzureMlRuntime",
        "endpoint_handler": "inferry.runtimes.endpoint_handler:EndpointHandlerRuntime",
        "triton_python": "inferry.runtimes.triton_python:TritonPythonRuntime",
        "transformers": "inferry.runtimes.transformers:TransformersRuntime",
        "keras": "inferry.runtimes.keras:KerasRuntime",
        "tensorflow": "inferry.runtimes.tensorflow:TensorflowRuntime",
        "litert": "inferry.runtimes.litert:LitertRuntime",
        "openvino": "inferry.runtimes.openvino:OpenvinoRuntime",
        "llm": "inferry.runtimes.llm:LlmRuntime",
        "vllm": "inferry.runtimes.vllm:VllmRuntime",
    },
    "inferry.options": {
        "llm": "inferry.runtimes.engine_options:LLAMA_CPP",
        "llm.feature-extraction": "inferry.runtimes.engine_options:LLAMA_CPP_EMBEDDINGS",
        "transformers.text-generation": "inferry.runtimes.engine_options:TRANSFORMERS",
        "vllm": "inferry.runtimes.engine_options:VLLM",
    },
    "inferry.converters": {
        "sklearn": "inferry.runtimes.converters.sklearn:convert",
        "torch": "inferry.runtimes.converters.torch:convert",
        "keras": "inferry.runtimes.converters.tensorflow:convert",
        "tensorflow": "inferry.runtimes.converters.tensorflow:convert",
        "xgboost": "inferry.runtimes.converters.xgboost:convert",
        "lightgbm": "inferry.runtimes.converters.lightgbm:convert",
        "catboost": "inferry.runtimes.converters.catboost:convert",
    },
}


def names(group: str) -> dict[str, str]:
    """Plugin name -> "module:attribute" for every plugin of a group."""
    found = dict(BUILT_IN.get(group, {}))
    for entry in entry_points(group=group):
        known = found.setdefault(entry.name, entry.value)
        if known != entry.value:
            raise MissingPlugin(
                f"Two packages offer the plugin {entry.name!r} of {group}: {known} and {entry.value}.",
                help="Uninstall one of them.",
            )
    return found


def all_of(group: str) -> list[Any]:
    """Every plugin of a group, loaded, in the order of their names."""
    return [load(group, name) for name in sorted(names(group))]


def load(group: str, name: str) -> Any:
    """The plugin's class or function. Raises MissingPlugin when it or its framework is absent."""
    target = BUILT_IN.get(group, {}).get(name) or names(group).get(name)
    if target is None:
        raise MissingPlugin(f"There is no {name!r} in {group}.", help=f"Known: {', '.join(sorted(names(group)))}.")
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise MissingPlugin(
            f"The plugin {name} needs the package {error.name!r}.", help=f"pip install {error.name}"
        ) from error
