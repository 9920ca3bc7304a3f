"""TensorFlow as a replica wants it: imported once, before the fork, with what it reads from the environment set.

Importing `tensorflow` imports `keras`, which takes its backend from the environment or from a file in the home
folder; here from the environment alone, and it writes no file. Importing starts no pool of threads: TensorFlow
makes those for its first operation, which only a forked child runs, so a zygote may import this and fork.
"""

from __future__ import annotations

import os

os.environ.update({"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull, "TF_CPP_MIN_LOG_LEVEL": "2"})

import keras
import tensorflow as tf

__all__ = ["keras", "tf"]
