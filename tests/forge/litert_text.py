# /// script
# dependencies = ["tensorflow", "keras", "ai-edge-litert", "scikit-learn"]
# ///
"""Text in and out of LiteRT's own operations, and a model that needs those of full TensorFlow (Flex)."""

from pathlib import Path

import numpy as np
import tensorflow as tf


class Words(tf.Module):
    """Puts words in another order; greets them."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words"), tf.TensorSpec([None], tf.int32, "order")])
    def picked(self, words, order):
        return {"picked": tf.gather(words, order)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words")])
    def greeted(self, words):
        return {"greeting": tf.strings.join(["Hello ", words])}


module = Words()
tf.saved_model.save(module, "saved", signatures={"picked": module.picked})
Path("artifact.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model("saved", ["picked"]).convert())
words, order = np.array(["Ada", "Grace Hopper", "Zoë", ""]), np.array([2, 0, 3], dtype=np.int32)
np.savez("inputs.npz", words=words, order=order)
np.savez("expected.npz", picked=words[order])

tf.saved_model.save(module, "greeting", signatures={"greeted": module.greeted})
converter = tf.lite.TFLiteConverter.from_saved_model("greeting", ["greeted"])
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
Path("flex.tflite").write_bytes(converter.convert())
