"""Scripts: what a Python file of another serving system defines and imports, read and not run.

Data flow: file -> syntax tree -> names of its functions and classes with their methods (which convention
it follows), names of the modules that it imports (which packages it needs, when nothing else says so).
Other systems run scripts in images that hold the frameworks already; here an import stands for a package.
"""

from __future__ import annotations

import ast
from pathlib import Path

from inferry.bundles.pickles import requirements_of
from inferry.bundles.requirements import merged
from inferry.bundles.sniff import MAX_SOURCE, Kind, syntax_tree
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel

PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "sentence_transformers": "sentence-transformers",
    "sagemaker_inference": "sagemaker-inference",
    "inference_schema": "inference-schema[numpy-support,pandas-support]",
    **{
        name: name
        for name in (
            "accelerate", "catboost", "diffusers", "flax", "gensim", "jax", "joblib", "keras", "lightgbm", "nltk",
            "onnxruntime", "optimum", "pandas", "peft", "polars", "pyarrow", "requests", "safetensors", "scipy",
            "sentencepiece", "spacy", "tensorflow", "tiktoken", "timm", "tokenizers", "torch", "torchaudio",
            "torchvision", "transformers", "xgboost",
        )
    },
}  # fmt: skip


def parsed(path: Path, shown: str) -> ast.Module:
    """A script's syntax tree. Raises InvalidModel, saying in which line its syntax is wrong."""
    source = path.read_bytes() if path.stat().st_size <= MAX_SOURCE else b"\0"
    tree = syntax_tree(source)
    if tree is not None:
        return tree
    raise InvalidModel(
        f"{shown[:80]!a} has a syntax error{error_line(source)}.", help="Check it with python -m py_compile."
    )


def error_line(source: bytes) -> str:
    """` in line N` for a source with a syntax error; "" when no line can be told."""
    try:
        compile(source, "script", "exec", dont_inherit=True, flags=ast.PyCF_ONLY_AST)  # not run
    except SyntaxError as error:
        return f" in line {error.lineno}" if error.lineno else ""
    except (ValueError, RecursionError, MemoryError):
        return ""
    return ""


def functions(tree: ast.Module) -> set[str]:
    """Names of the functions at the top of a module, those that it imports or assigns by name included."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def classes(tree: ast.Module) -> dict[str, set[str]]:
    """Names of the classes at the top of a module, with the methods that each defines itself."""
    return {
        node.name: {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def needs(tree: Tree, entry: Path, *extra: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Requirement lines of a script's environment, and notes for people.

    The person's requirements.txt has the last word; then come the versions that pickles beside the script
    name, then the packages that Python files of the package import, then `extra`.
    """
    ours: dict[str, str] = {}
    for path in tree.of(Kind.PICKLE, Kind.PICKLE_PACKED, Kind.SKOPS):
        kind = tree.kind(path)
        lines = requirements_of(path, skops=kind is Kind.SKOPS, packed=kind is Kind.PICKLE_PACKED)
        if "==" in lines[0]:
            ours |= {_name(line): line for line in lines}
    for line in sorted(imported(tree)):
        ours.setdefault(_name(line), line)
    for line in extra:
        ours.setdefault(_name(line), line)
    asked = tree.asked(entry)
    lines = merged(ours.values(), asked)
    loose = [line for line in lines[len(asked) :] if line.partition("[")[0] == _name(line)]
    note = f"No file says which version of {', '.join(loose)} it needs: the newest is used. Pin it in requirements.txt."
    return lines, ((note,) if loose else ())


def imported(tree: Tree) -> set[str]:
    """Requirement lines for the well-known modules that Python files of the package import."""
    own = {path.stem for path in tree.of(Kind.PYTHON)} | {path.parent.name for path in tree.of(Kind.PYTHON)}
    found: set[str] = set()
    for path in tree.of(Kind.PYTHON):
        module = syntax_tree(path.read_bytes())
        for node in ast.walk(module) if module else ():
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return {PACKAGES[name] for name in found - own if name in PACKAGES}


def _name(line: str) -> str:
    name = line
    for mark in "[=<>!~; ":
        name = name.partition(mark)[0]
    return name.lower().replace("_", "-")
