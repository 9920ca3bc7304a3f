# /// script
# dependencies = ["tensorflow", "keras", "ai-edge-litert", "scikit-learn"]
# ///
"""Models that bring code: Lambda layers and a layer of the person's own, as .keras and as HDF5."""

import h5py
import keras


@keras.saving.register_keras_serializable(package="mine")
class Twice(keras.layers.Layer):
    """A layer that only its author has."""

    def call(self, inputs):
        return inputs * 2


for name, layer in {"lambda": keras.layers.Lambda(lambda x: x * 2), "custom": Twice()}.items():
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(2)])
    model.save(f"{name}.keras")
    model.save(f"{name}.h5")

with h5py.File("lambda.h5") as source, h5py.File("escaped.h5", "w") as target:
    for group in source:
        source.copy(group, target)
    for name, value in source.attrs.items():
        target.attrs[name] = value.replace('"Lambda"', '"\\u004cambda"')
