# /// script
# dependencies = ["tensorflow==2.15.1", "numpy<2", "scikit-learn"]
# ///
"""A net of Keras 2, saved in each of its three ways: .keras, HDF5 and a SavedModel."""

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

tf.keras.utils.set_random_seed(0)
images, target = load_digits(return_X_y=True)
images = (images / 16).astype("float32")
model = tf.keras.Sequential(
    [
        tf.keras.Input((64,), name="pixels"),
        tf.keras.layers.Dense(32, activation="relu"),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.Dense(10, activation="softmax", name="digit"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(images[:1500], target[:1500], epochs=3, verbose=0)
model.save("artifact.keras")
model.save("whole.h5")
model.save("saved", save_format="tf")
np.savez("inputs.npz", pixels=images[1500:1516])
np.savez("expected.npz", output=model(images[1500:1516], training=False).numpy())
