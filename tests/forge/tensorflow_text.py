# /// script
# dependencies = ["tensorflow", "keras", "ai-edge-litert", "scikit-learn"]
# ///
"""A tf.Module with a lone signature of its own name: text and numbers in, text and numbers out."""

import numpy as np
import tensorflow as tf


class Words(tf.Module):
    """Counts words, and greets."""

    def __init__(self):
        self.weight = tf.Variable(2.5)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "words"),
            tf.TensorSpec([None], tf.int64, "times"),
        ]
    )
    def greet(self, words, times):
        score = self.weight * tf.cast(times, tf.float32) * tf.cast(tf.strings.length(words), tf.float32)
        return {"greeting": tf.strings.join(["Hello ", words]), "score": score, "long": score > 10}


words = np.array(["Ada", "Grace Hopper", "Zoë", ""])
times = np.array([1, 2, 3, 4], dtype=np.int64)
module = Words()
tf.saved_model.save(module, "artifact", signatures={"greet": module.greet})
answers = module.greet(tf.constant(words.tolist()), tf.constant(times))
np.savez("inputs.npz", words=words, times=times)
np.savez(
    "expected.npz",
    greeting=np.array([text.decode() for text in answers["greeting"].numpy()]),
    score=answers["score"].numpy(),
    long=answers["long"].numpy(),
)
