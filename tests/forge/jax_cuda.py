"""jax.export: a function for a GPU only."""

# /// script
# dependencies = ["jax", "flatbuffers"]
# ///
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp

exported = jax.export.export(jax.jit(jnp.sin), platforms=("cuda",))(jax.ShapeDtypeStruct((3,), jnp.float32))
Path("artifact.jax").write_bytes(exported.serialize())
