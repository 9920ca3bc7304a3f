"""Served: what each built-in runtime takes, for people, and the packages of its models' own environments."""

from __future__ import annotations

from typing import NamedTuple


class Served(NamedTuple):
    """One runtime. `packages`: what a model's own environment is built of; (): the platform's own packages."""

    takes: str
    packages: tuple[str, ...] = ()


SERVED: dict[str, Served] = {
    "onnx": Served("ONNX files, with weights in files beside them or without"),
    "sklearn": Served("scikit-learn estimators and pipelines: joblib, pickle, skops", ("scikit-learn",)),
    "torch": Served("PyTorch: programs of torch.export, TorchScript, weights with their class", ("torch",)),
    "jax": Served("functions that jax.export serialized", ("jax", "flatbuffers")),
    "python": Served("a Python class or function with predict, and its requirements.txt"),
    "xgboost": Served("XGBoost models: .json, .ubj", ("xgboost",)),
    "lightgbm": Served("LightGBM models: .txt", ("lightgbm",)),
    "catboost": Served("CatBoost models: .cbm", ("catboost",)),
    "fasttext": Served("fastText classifiers: .bin, .ftz", ("fasttext-predict",)),
    "spacy": Served("spaCy pipelines: folders with meta.json and config.cfg", ("spacy",)),
    "transformers": Served(
        "Hugging Face transformers and sentence-transformers folders", ("transformers", "torch", "safetensors")
    ),
    "keras": Served("Keras models: .keras, whole models in HDF5", ("keras", "tensorflow")),
    "tensorflow": Served("TensorFlow SavedModel folders, numbered or not", ("tensorflow",)),
    "litert": Served("LiteRT (TensorFlow Lite) models: .tflite", ("ai-edge-litert",)),
    "openvino": Served("OpenVINO IR: an .xml file and its .bin", ("openvino",)),
    "llm": Served("GGUF language models, also by the OpenAI API", ("xllamacpp",)),
    "vllm": Served("Hugging Face folders with a causal language model, on GPUs, also by the OpenAI API", ("vllm",)),
    "mlflow": Served("MLflow model folders of any flavor", ("what the folder names", "mlflow-skinny")),
    "sagemaker": Served("SageMaker packages with inference.py", ("what the package names",)),
    "torchserve": Served("TorchServe archives: .mar", ("what the archive names",)),
    "azureml": Served("Azure ML folders with score.py", ("what the folder names",)),
    "endpoint_handler": Served("Hugging Face folders with handler.py", ("what the folder names",)),
    "triton_python": Served("Triton repositories with a Python model", ("what the model names",)),
}
