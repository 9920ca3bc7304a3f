"""Networks on real data, in their framework's own environment: trained, saved, opened by the runtime, converted.

    python -m bench.networks_native NAME PACKAGES FOLDER WORDS

Data flow: a data set -> trained on two thirds -> a file in FOLDER -> the runtime's Inspection on a sample of 50 rows ->
candidates and answer sheet in FOLDER (PACKAGES: the converter's; WORDS: AFINN's list) -> told.json, held.npz, and what
the network answers to that natively in expected.npz.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from inferry.errors import InferryError
from inferry.runtimes.calls import best_us
from inferry.types.conversion import Converted
from inferry.types.sample import Sample
from inferry.types.signature import Inspection

SAMPLE_ROWS = 50


class Told(msgspec.Struct):
    """What came of it."""

    inspection: Inspection
    native_us: float
    made: Converted


class Network(NamedTuple):
    """`form`: how it is saved; `rows`: gives rows and target; `name`: of the class or function that makes it."""

    runtime: str
    form: str
    data: str
    rows: Callable[[], tuple[Any, Any]]
    name: str


def digits(shape: tuple[int, ...] = (64,)) -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    rows, target = load_digits(return_X_y=True)
    return (rows / 16).reshape(-1, *shape).astype(np.float32), target.astype(np.int64)


def scaled(name: str) -> tuple[Any, Any]:
    from sklearn import datasets

    rows, target = getattr(datasets, f"load_{name}")(return_X_y=True)
    return ((rows - rows.mean(0)) / rows.std(0)).astype(np.float32), target


def texts() -> tuple[Any, Any]:
    """AFINN's words themselves, and whether each is a good one."""
    lines = Path(sys.argv[4]).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    return np.array([[word] for word, _ in pairs], dtype=object), np.array([int(points) > 0 for _, points in pairs]) * 1


def words(length: int = 12) -> tuple[dict[str, Any], Any]:
    """The letters of AFINN's words as token ids and their mask, and whether a word is a good one."""
    spelled, target = texts()
    ids = np.zeros((len(spelled), length), np.int64)
    for at, (word,) in enumerate(spelled):
        letters = [ord(letter) % 96 + 1 for letter in word[:length]]
        ids[at, : len(letters)] = letters
    return {"ids": ids, "mask": (ids > 0).astype(np.int64)}, target


NETWORKS = {
    "MLP": Network("torch", "weights", "digits", digits, "Mlp"),
    "CNN": Network("torch", "TorchScript", "digits", lambda: digits((1, 8, 8)), "Cnn"),
    "residual CNN": Network("torch", "program", "digits", lambda: digits((1, 8, 8)), "Residual"),
    "LSTM": Network("torch", "weights", "digits", lambda: digits((8, 8)), "Lstm"),
    "GRU, attention": Network("torch", "program", "digits", lambda: digits((8, 8)), "Attending"),
    "transformer": Network("torch", "program", "AFINN words", words, "Transformer"),
    "embedding bag": Network("torch", "weights", "AFINN words", words, "Bag"),
    "autoencoder": Network("torch", "TorchScript", "digits", digits, "Autoencoder"),
    "regression, 64 bits": Network("torch", "weights", "diabetes", lambda: scaled("diabetes"), "Double"),
    "two heads": Network("torch", "program", "wine", lambda: scaled("wine"), "Heads"),
    "dropout at inference": Network("torch", "weights", "wine", lambda: scaled("wine"), "Dropping"),
    "Keras MLP": Network("keras", ".keras", "breast_cancer", lambda: scaled("breast_cancer"), "mlp"),
    "Keras CNN": Network("keras", ".keras", "digits", lambda: digits((8, 8, 1)), "cnn"),
    "Keras separable CNN": Network("tensorflow", "SavedModel", "digits", lambda: digits((8, 8, 1)), "separable"),
    "Keras LSTM": Network("keras", ".keras", "digits", lambda: digits((8, 8)), "lstm"),
    "Keras GRU, both ways": Network("tensorflow", "SavedModel", "digits", lambda: digits((8, 8)), "gru"),
    "Keras attention": Network("keras", ".h5", "digits", lambda: digits((8, 8)), "attending"),
    "Keras embedding": Network("keras", ".keras", "AFINN words", lambda: (words()[0]["ids"], words()[1]), "embedding"),
    "Keras text": Network("keras", ".keras", "AFINN words", texts, "text"),
}  # fmt: skip


def main() -> None:
    name, packages, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    sys.path.append(packages)
    network = NETWORKS[name]
    rows, target = network.rows()
    given = rows if isinstance(rows, dict) else {"": rows}
    order = np.random.default_rng(0).permutation(len(target))
    train, held = order[: len(order) * 2 // 3], order[len(order) * 2 // 3 :]
    if network.runtime == "torch":
        from bench.networks_torch import save
    else:
        from bench.networks_keras import save
    (folder / "artifact").mkdir()
    save(
        network.name, network.form, {key: one[train] for key, one in given.items()}, target[train], folder / "artifact"
    )

    from inferry import plugins
    from inferry.bundles.detect import detect
    from inferry.runtimes.conversion import convert
    from inferry.runtimes.tensors import from_sample

    sample = Sample(kind="tensors", tensors={key: one[train[:SAMPLE_ROWS]] for key, one in given.items()})
    found = detect(folder / "artifact")
    runtime = plugins.load("inferry.runtimes", found.runtime)()
    inspection = runtime.load(folder / "artifact", found.entry, found.options, None).describe(sample)
    model = runtime.load(folder / "artifact", found.entry, found.options, inspection.signature)
    tensors = {key: one[held] for key, one in given.items()}
    kept = from_sample(inspection.signature.inputs, Sample(kind="tensors", tensors=tensors))
    try:
        made = convert(found.runtime, model, inspection.signature, sample, folder)
    except InferryError as error:
        made = Converted(reason=error.message)
    answers = [model.predict({key: one[at : at + 1] for key, one in kept.items()}) for at in range(len(held))]
    np.savez(folder / "held.npz", **{key: one for key, one in kept.items() if one.dtype.kind != "O"})
    np.savez(folder / "expected.npz", **{key: np.concatenate([one[key] for one in answers]) for key in answers[0]})
    one_row = {key: one[:1] for key, one in kept.items()}
    native_us = (made.native_us or inspection.batch_us).get("1", 0.0) or best_us(model.predict, one_row)
    told = Told(inspection=inspection, native_us=native_us, made=made)
    (folder / "told.json").write_bytes(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
