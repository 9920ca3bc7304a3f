"""jax.export: a function of a dict with a free number of rows, weights closed over, 64-bit inside."""

# /// script
# dependencies = ["jax", "flatbuffers"]
# ///
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
random = np.random.default_rng(0)
first, second = random.normal(size=(4, 16)).astype(np.float32), random.normal(size=(16, 3)).astype(np.float32)
places = random.normal(size=(20, 4))


def classify(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    hidden = jnp.tanh((batch["features"] + jnp.asarray(places)[batch["place"]]).astype(jnp.float32) @ first)
    return {"scores": jax.nn.softmax(hidden @ second), "hidden": hidden.astype(jnp.bfloat16)}


(rows,) = jax.export.symbolic_shape("rows")
given = {
    "features": jax.ShapeDtypeStruct((rows, 4), jnp.float64),
    "place": jax.ShapeDtypeStruct((rows,), jnp.int32),
}
exported = jax.export.export(jax.jit(classify), platforms=("cpu", "cuda"))(given)
Path("artifact.jax").write_bytes(exported.serialize())
inputs = {"features": random.normal(size=(7, 4)), "place": random.integers(0, 20, 7).astype(np.int32)}
answer = jax.jit(classify)(inputs)
np.savez("inputs.npz", **inputs)
np.savez("expected.npz", **{name: np.asarray(one).astype(np.float32) for name, one in answer.items()})
