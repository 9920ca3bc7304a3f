"""Keras, SavedModel and OpenVINO files by hand: as much of each as detection reads."""

from __future__ import annotations

import io
import json
import zipfile

from inferry.types.protobuf import delimited, integer


def layer(name, module="keras.layers", **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def keras(*layers, version="3.15.1", config=None, **extra):
    model = {"module": "keras", "class_name": "Sequential", "config": {"layers": list(layers)}, **extra}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(model) if config is None else config)
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    return made.getvalue()


def hdf5(*parts):
    return b"\x89HDF\r\n\x1a\n" + b"\0" * 64 + b"".join(parts) + b"\0" * 16


def heap(text):
    """A text as HDF5's heap of them keeps it: count, 4 unused bytes, length, text."""
    return b"\1\0\0\0\0\0\0\0" + len(text).to_bytes(8, "little") + text


def graph(*signatures, version="2.21.0", tags=("serve",), saver=True):
    info = b"".join(delimited(4, tag.encode()) for tag in tags) + delimited(5, version.encode())
    entries = b"".join(delimited(5, delimited(1, name.encode()) + delimited(2, b"")) for name in signatures)
    return delimited(2, delimited(1, info) + (delimited(3, b"") if saver else b"") + entries)


def saved(*graphs):
    return integer(1, 1) + b"".join(graphs)


SERVING = saved(graph("serving_default", "__saved_model_init_op"))
INDEX = b"index"


def ir(*consts, version="11", before="", end="</net>", made_by="2025.3.0-19807-44526285f24"):
    data = "".join(
        f'<layer><data element_type="f32" shape="2" offset="{at}" size="{size}"/></layer>' for at, size in consts
    )
    return (
        f'<?xml version="1.0"?>\n{before}<net name="digits" version="{version}"><layers>{data}</layers>'
        f'<rt_info><Runtime_version value="{made_by}" /></rt_info>{end}\n'
    ).encode()
