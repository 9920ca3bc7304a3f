# /// script
# dependencies = ["tensorflow", "keras", "ai-edge-litert", "scikit-learn"]
# ///
"""Numbers and text in, two heads out: a functional model with its vocabulary inside the file."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_iris

keras.utils.set_random_seed(0)
rows, target = load_iris(return_X_y=True)
rows = rows.astype("float32")
words = np.array([["small"], ["middle"], ["large"]], dtype=object)[np.digitize(rows[:, 2], [2.5, 5.0])]
numbers = keras.Input((4,), name="numbers")
size = keras.Input((1,), name="size", dtype="string")
known = keras.layers.StringLookup(vocabulary=["small", "middle", "large"])(size)
joined = keras.layers.Concatenate()([numbers, keras.layers.Flatten()(keras.layers.Embedding(4, 3)(known))])
hidden = keras.layers.Dense(16, activation="relu")(joined)
species = keras.layers.Dense(3, activation="softmax", name="species")(hidden)
width = keras.layers.Dense(1, name="width")(hidden)
model = keras.Model([numbers, size], [species, width])
model.compile("adam", ["sparse_categorical_crossentropy", "mse"])
text = tf.constant(words.tolist())
model.fit([tf.constant(rows), text], [target, rows[:, 3:]], epochs=10, verbose=0)
model.save("artifact.keras")
held = slice(0, 150, 15)
answers = model([tf.constant(rows[held]), tf.constant(words[held].tolist())], training=False)
np.savez("inputs.npz", numbers=rows[held], size=words[held].astype(str))
np.savez("expected.npz", species=np.asarray(answers[0]), width=np.asarray(answers[1]))
