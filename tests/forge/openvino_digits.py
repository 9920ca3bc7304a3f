# /// script
# dependencies = ["openvino", "scikit-learn"]
# ///
"""A digits net of scikit-learn's, written as an OpenVINO graph with free rows."""

import numpy as np
import openvino
from openvino import opset13 as ops
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

images, target = load_digits(return_X_y=True)
images = (images / 16).astype("float32")
net = MLPClassifier((32,), random_state=0, max_iter=60, tol=1e-2).fit(images[:1500], target[:1500])
pixels = ops.parameter([-1, 64], np.float32, name="pixels")
pixels.output(0).get_tensor().set_names({"pixels"})
value = pixels
for layer, (weights, bias) in enumerate(zip(net.coefs_, net.intercepts_, strict=True)):
    value = ops.add(ops.matmul(value, weights.astype("float32"), False, False), bias.astype("float32"))
    value = ops.relu(value) if layer == 0 else ops.softmax(value, 1)
value.output(0).get_tensor().set_names({"probabilities"})
model = openvino.Model([value], [pixels], "digits")
openvino.save_model(model, "artifact/digits.xml", compress_to_fp16=False)
held = images[1500:1516]
compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
np.savez("inputs.npz", pixels=held)
np.savez("expected.npz", probabilities=compiled(held)[0])
