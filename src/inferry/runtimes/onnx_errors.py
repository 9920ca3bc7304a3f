"""What onnxruntime says when it cannot load a file, said for people.

Data flow: its exception -> InvalidModel with the cause and the remedy, no path or address.
"""

from __future__ import annotations

import re

from inferry.errors import InvalidModel
from inferry.types.text import first_line

_CASES: tuple[tuple[str, str, str], ...] = (
    (
        r"[Uu]nsupported model IR version|IR_VERSION|ir_version",
        "The ONNX file was made for a newer onnxruntime than this one.",
        "Export it again with an older IR version or opset.",
    ),
    (
        r"ai\.onnx(?:\.ml)? opset \d+ is under development|[Oo]pset \d+ is (?:only|under)|released official support",
        "The ONNX file uses an opset that this onnxruntime does not have yet.",
        "Export it again with a lower opset (target_opset or opset_version).",
    ),
    (
        r"[Ee]xternal data|external_data|model_path must not be empty|file_size.*offset|GetExtDataFrom",
        "The ONNX file keeps its weights in another file, which is missing or does not fit.",
        "Deploy the folder that holds the .onnx file together with its data file.",
    ),
    (
        r"ZipMap",
        "The ONNX file's ZipMap takes only 32-bit probabilities, and the model makes 64-bit ones.",
        'Convert it again with options={"zipmap": False}.',
    ),
    (
        r"locale",
        "The ONNX file asks for a text locale that this machine does not have.",
        'Set the attribute locale="C" on its StringNormalizer nodes and save it again.',
    ),
    (
        r"INVALID_PROTOBUF|[Pp]rotobuf parsing failed|No graph was found",
        "The ONNX file is corrupt or truncated.",
        "Export or copy it again.",
    ),
)
_CUSTOM = re.compile(r"(?:for|[Ee]rror:)\s*([\w.]*:?[\w.]+)\((-?\d+)\).*is not a registered function/op")
_NOT_IMPLEMENTED = re.compile(r"Could not find an implementation for ([\w.:]+)\((\d+)\)")


def refused_load(error: Exception) -> InvalidModel:
    """The error to raise for a session that could not be made."""
    text = str(error)
    operator = _CUSTOM.search(text) or _NOT_IMPLEMENTED.search(text)
    if operator:
        opset = f" (opset {operator[2]})" if operator[2].isdigit() else ""
        return InvalidModel(
            f"The ONNX file uses the operator {operator[1]}{opset}, which onnxruntime does not have.",
            help="Export the model with standard operators, or wrap it in a Python class with its requirements.txt.",
        )
    for pattern, message, help in _CASES:
        if re.search(pattern, text):
            return InvalidModel(message, help=help)
    said = first_line(re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text))
    return InvalidModel(f"The ONNX file cannot be loaded: {said}", help="Check it with onnx.checker.")
