"""Flax: parameters saved as msgpack, and the class that a person writes to serve them."""

# /// script
# dependencies = ["jax", "flax"]
# ///
import sys
from pathlib import Path

import flax.serialization
import jax
import numpy as np

SOURCE = """from pathlib import Path

import flax.linen as nn
import flax.serialization
import jax
import numpy as np


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.softmax(nn.Dense(3)(nn.relu(nn.Dense(16)(x))))


class Model:
    def load(self):
        saved = Path(__file__).with_name("params.msgpack").read_bytes()
        params = flax.serialization.msgpack_restore(saved)
        self.apply = jax.jit(lambda x: Network().apply(params, x))

    def predict(self, inputs: dict):
        return {"scores": np.asarray(self.apply(inputs["x"]))}
"""

Path("artifact").mkdir(exist_ok=True)
Path("artifact/model.py").write_text(SOURCE)
Path("artifact/requirements.txt").write_text("jax\nflax\n")
sys.path.insert(0, "artifact")
import model  # noqa: E402

random = np.random.default_rng(0)
x = random.normal(size=(6, 4)).astype(np.float32)
params = model.Network().init(jax.random.key(0), x)
Path("artifact/params.msgpack").write_bytes(flax.serialization.msgpack_serialize(jax.tree.map(np.asarray, params)))
np.savez("sample.npz", x=x[:2])
np.savez("inputs.npz", x=x)
np.savez("expected.npz", scores=np.asarray(model.Network().apply(params, x)))
