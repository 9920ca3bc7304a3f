# /// script
# dependencies = ["tensorflow", "keras", "ai-edge-litert", "scikit-learn"]
# ///
"""A convolutional digits net as a .keras file, and as whole-model HDF5 with the same answers."""

import keras
import numpy as np
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
images, target = load_digits(return_X_y=True)
images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
model = keras.Sequential(
    [
        keras.Input((8, 8, 1), name="image"),
        keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(images[:1500], target[:1500], epochs=5, batch_size=64, verbose=0)
model.save("artifact.keras")
model.save("whole.h5")
model.save_weights("only.weights.h5")
np.savez("inputs.npz", image=images[1500:1516])
np.savez("expected.npz", output=np.asarray(model(images[1500:1516], training=False)))
