# /// script
# dependencies = ["tensorflow", "keras", "ai-edge-litert", "scikit-learn"]
# ///
"""A digits net three ways: with a signature and free rows, plain tensors of one row, and whole numbers throughout."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
images, target = load_digits(return_X_y=True)
images = (images / 16).astype("float32")
model = keras.Sequential(
    [
        keras.Input((64,), name="pixels"),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(images[:1500], target[:1500], epochs=5, verbose=0)
held = images[1500:1516]


def answers(path, rows):
    interpreter = Interpreter(model_path=path)
    given, found = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    out = []
    for row in rows:
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], row[None])
        interpreter.invoke()
        out.append(interpreter.get_tensor(found["index"])[0])
    return given["name"], found["name"], np.array(out)


model.export("saved", verbose=False)
Path("artifact.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model("saved").convert())
np.savez("inputs.npz", pixels=held)
np.savez("expected.npz", output_0=answers("artifact.tflite", held)[2])

fixed = tf.function(lambda pixels: model(pixels, training=False)).get_concrete_function(
    tf.TensorSpec([1, 64], tf.float32, "pixels")
)
Path("fixed").mkdir()
Path("fixed/artifact.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([fixed]).convert())
name, output, numbers = answers("fixed/artifact.tflite", held[:1])
np.savez("fixed/inputs.npz", **{name: held[:1]})
np.savez("fixed/expected.npz", **{output: numbers})

converter = tf.lite.TFLiteConverter.from_saved_model("saved")
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([row[None]] for row in images[:200])
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
Path("whole").mkdir()
Path("whole/artifact.tflite").write_bytes(converter.convert())
given = Interpreter(model_path="whole/artifact.tflite").get_input_details()[0]
scale, zero = given["quantization"]
rows = np.clip(np.round(held / scale) + zero, -128, 127).astype(np.int8)
np.savez("whole/inputs.npz", pixels=rows)
np.savez("whole/expected.npz", output_0=answers("whole/artifact.tflite", rows)[2])
