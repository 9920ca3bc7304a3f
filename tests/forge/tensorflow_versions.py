# /// script
# dependencies = ["tensorflow", "keras", "ai-edge-litert", "scikit-learn"]
# ///
"""TF Serving's numbered folders: version 9 and a better version 10, each exported by Keras."""

import keras
import numpy as np
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
images, target = load_digits(return_X_y=True)
images = (images / 16).astype("float32")
for version, epochs in {9: 1, 10: 5}.items():
    model = keras.Sequential(
        [
            keras.Input((64,), name="pixels"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images[:1500], target[:1500], epochs=epochs, verbose=0)
    model.export(f"artifact/{version}", verbose=False)
np.savez("inputs.npz", pixels=images[1500:1516])
np.savez("expected.npz", output_0=np.asarray(model(images[1500:1516], training=False)))
