"""Estimators: open a saved scikit-learn object and say what it can do.

Data flow: joblib, pickle or skops file -> the fitted object (unpickling runs its code: only
ever called inside the sandbox) -> its role -> the calls that answer, by output name.
"""

from __future__ import annotations

import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from inferry.errors import InferryError, InvalidModel
from inferry.types.text import first_line, raised

Call = Callable[[Any], Any]

BESIDE = "Put the model in a folder together with"
_MADE_BY = re.compile(r"Trying to unpickle estimator \w+ from version ([0-9][\w.]{0,20}) when using version")
_SCORES = ("decision_function", "score_samples")


def open_estimator(artifact: Path, entry: str) -> Any:
    """The fitted object in `artifact/entry`. Python files beside it can be imported by it."""
    path = artifact / entry
    for folder in dict.fromkeys((str(path.parent), str(artifact))):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            loaded = _read(path)
        except InferryError:
            raise
        except Exception as error:
            _refuse_version(told)
            raise _refused(error) from error
    _refuse_version(told)
    _check(loaded)
    for part in nested(loaded):
        if getattr(part, "n_jobs", None) not in {None, 1}:
            part.n_jobs = 1  # starting threads costs more than a small prediction; replicas are the parallelism
    return loaded


def _read(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        from skops.io import get_untrusted_types, load

        # The file's own types are trusted: whoever calls this is already in the sandbox.
        return load(path, trusted=get_untrusted_types(file=path))
    # Arrays of an uncompressed file are mapped: replicas share their pages until one writes to its own copy.
    return joblib.load(path, mmap_mode="c")


def _refuse_version(told: list[warnings.WarningMessage]) -> None:
    """Another feature release of scikit-learn may load a model and then answer wrongly."""
    for note in told:
        made = _MADE_BY.search(str(note.message))
        if made and _release(made[1]) != _release(sklearn.__version__):
            raise InvalidModel(
                f"The model was saved with scikit-learn {made[1]}, but its environment has {sklearn.__version__}.",
                help=f"Ask for scikit-learn=={made[1]} in requirements.txt, or save the model again.",
            )


def _release(version: str) -> list[str]:
    return version.split(".")[:2]


def _refused(error: Exception) -> InvalidModel:
    said = str(error)
    if isinstance(error, ModuleNotFoundError):
        module = first_line(error.name or "", 60)
        return InvalidModel(
            f"The model needs the Python module {module!r}, which its environment does not have.",
            help=f"{BESIDE} {module}.py, or with a requirements.txt that names its package.",
        )
    lost = re.search(r"Can't get attribute '([^']+)' on (<module '([^']+)'.*>)", said)
    if lost and lost[2] == repr(sys.modules["__main__"]):
        return InvalidModel(
            f"The model holds {lost[1]!r}, which was defined in a script or notebook, not in a module.",
            help=f"Move it to a .py file, import it from there when training, and save again. {BESIDE} that file.",
        )
    if lost:
        return InvalidModel(
            f"The model needs {lost[1]!r} from the module {lost[3]!r}, which does not have it in this version.",
            help=f"{BESIDE} a requirements.txt that pins the version it was trained with.",
        )
    if isinstance(error, MemoryError):
        return InvalidModel(
            "The model ran out of memory while loading.", help="Allow it more: inferry deploy --memory MB."
        )
    if isinstance(error, EOFError | pickle.UnpicklingError | zipfile.BadZipFile):
        return InvalidModel("The model file is corrupt or truncated.", help="Save or copy it again.")
    return InvalidModel(
        f"The model file cannot be loaded: {raised(error)}",
        help="Pin the package versions it was trained with in a requirements.txt beside it, or save it again.",
    )


def _check(loaded: Any) -> None:
    answers = hasattr(loaded, "predict") or (hasattr(loaded, "transform") and hasattr(loaded, "fit"))
    if isinstance(loaded, type) or not answers:
        made = loaded.__name__ if isinstance(loaded, type) else type(loaded).__name__
        how = ""
        if isinstance(loaded, dict):
            keys = ", ".join(repr(first_line(key, 30)) for key in list(loaded)[:5])
            how = f" with the keys {keys}" if keys else ""
        if callable(getattr(loaded, "fit_predict", None)):
            raise InvalidModel(f"{made} can only label the data it was fitted on: it has no predict method.")
        raise InvalidModel(
            f"The file holds a {made}{how}, not an estimator.",
            help="Save the fitted estimator or Pipeline itself, or wrap what you have in a Python class with predict.",
        )
    if not hasattr(loaded, "get_params"):
        return  # not a scikit-learn estimator: its own predict will tell
    try:
        check_is_fitted(loaded)
    except NotFittedError:
        raise unfitted(loaded) from None
    except (TypeError, AttributeError):
        return  # an estimator of another kind


def unfitted(loaded: Any) -> InvalidModel:
    """The error for an estimator that was saved before `fit`."""
    return InvalidModel(
        f"The {type(loaded).__name__} in the file is not fitted.", help="Call fit on it, then save it again."
    )


def nested(loaded: Any, depth: int = 8) -> Iterator[Any]:
    """The object and all estimators inside it (steps, ensembles, searches)."""
    yield loaded
    if depth and hasattr(loaded, "__dict__"):
        for value in vars(loaded).values():
            yield from _inside(value, depth)


def _inside(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, list | tuple) and len(value) < 10_000:
        for item in value:
            yield from _inside(item, depth)
    elif isinstance(value, dict) and len(value) < 10_000:
        for item in value.values():
            yield from _inside(item, depth)
    elif hasattr(value, "get_params") and not isinstance(value, type):
        yield from nested(value, depth - 1)


def task_of(loaded: Any) -> str:
    """classification, regression, outlier, clustering, transform, or "" for a predict of its own kind."""
    if not hasattr(loaded, "predict"):
        return "transform"
    for task, ask in (
        ("classification", sklearn.base.is_classifier),
        ("regression", sklearn.base.is_regressor),
        ("outlier", sklearn.base.is_outlier_detector),
    ):
        try:
            if ask(loaded):
                return task
        except (AttributeError, TypeError):
            continue  # not built on scikit-learn's base classes
    kind = getattr(getattr(_last(loaded), "__sklearn_tags__", dict)(), "estimator_type", None)
    if "clusterer" in {kind, getattr(_last(loaded), "_estimator_type", None)}:
        return "clustering"
    return ""


def _last(loaded: Any) -> Any:
    return _last(loaded.steps[-1][1]) if hasattr(loaded, "steps") else loaded


def calls_of(loaded: Any, task: str) -> dict[str, Call]:
    """Output name -> the method that answers it, in the order they are shown."""
    if task == "transform":
        return {"features": loaded.transform}
    if task == "classification":
        named = {"label": loaded.predict}
        if hasattr(loaded, "predict_proba"):
            named["probabilities"] = loaded.predict_proba
        return named
    if task == "outlier":
        score = next((getattr(loaded, name) for name in _SCORES if hasattr(loaded, name)), None)
        return {"label": loaded.predict} | ({"score": score} if score else {})
    return {"cluster" if task == "clustering" else "prediction": loaded.predict}
