"""The networks of Keras that bench.networks converts, as files of Keras or exported as SavedModels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inferry.runtimes.tensorflow_import import keras, tf

tf.config.threading.set_intra_op_parallelism_threads(1)  # as the runtime wants it, which comes after the training
tf.config.threading.set_inter_op_parallelism_threads(1)


def mlp(_: Any) -> Any:
    return keras.Sequential([keras.layers.Input((30,)), keras.layers.Dense(64, activation="relu"),
                             keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="softmax")])  # fmt: skip


def cnn(_: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(16, 3, activation="relu"),
                             layers.BatchNormalization(), layers.MaxPooling2D(), layers.Conv2D(32, 3, padding="same"),
                             layers.ReLU(), layers.Flatten(), layers.Dense(10, activation="softmax")])  # fmt: skip


def separable(_: Any) -> Any:
    layers = keras.layers
    given = layers.Input((8, 8, 1), name="picture")
    hidden = layers.SeparableConv2D(32, 3, padding="same", activation="swish")(given)
    added = layers.Add()([hidden, layers.DepthwiseConv2D(3, padding="same")(hidden)])
    pooled = layers.GlobalAveragePooling2D()(added)
    return keras.Model(given, layers.Dense(10, activation="softmax", name="digit")(pooled))


def lstm(_: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([layers.Input((8, 8)), layers.LSTM(32), layers.Dense(10, activation="softmax")])


def gru(_: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([layers.Input((8, 8)), layers.Bidirectional(layers.GRU(16)),
                             layers.Dense(10, activation="softmax")])  # fmt: skip


def attending(_: Any) -> Any:
    layers = keras.layers
    given = layers.Input((8, 8))
    hidden = layers.LayerNormalization()(layers.Dense(32)(given))
    seen = layers.MultiHeadAttention(4, 8)(hidden, hidden)
    return keras.Model(given, layers.Dense(10, activation="softmax")(layers.GlobalMaxPooling1D()(seen)))


def embedding(_: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([layers.Input((12,), dtype="int64"), layers.Embedding(97, 16),
                             layers.Conv1D(32, 3, activation="relu"), layers.GlobalMaxPooling1D(),
                             layers.Dense(2, activation="softmax")])  # fmt: skip


def text(rows: Any) -> Any:
    layers = keras.layers
    split = layers.TextVectorization(max_tokens=40, output_sequence_length=12, split="character")
    split.adapt(rows)
    given = layers.Input((1,), dtype="string")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(40, 8)(split(given)))
    return keras.Model(given, layers.Dense(2, activation="softmax")(pooled))


def save(name: str, form: str, rows: dict[str, Any], target: Any, folder: Path) -> None:
    """A network trained for a few rounds, saved in its form."""
    keras.utils.set_random_seed(0)
    array = next(iter(rows.values()))
    given = tf.constant(array.tolist()) if array.dtype.kind == "O" else array
    model = globals()[name](given)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(given, target, epochs=3, verbose=0)
    if form == "SavedModel":
        model.export(str(folder / "model"), verbose=False)
    else:
        model.save(str(folder / f"model{form}"))
