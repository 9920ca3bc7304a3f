"""Our protocols as classes of the protobuf library, in a pool of their own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTOS = Path(__file__).parents[2] / "src/inferry/protos"
DESCRIPTORS = (PROTOS / "descriptors.binpb").read_bytes()


def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS).file:
        pool.Add(file)
    return pool


POOL = _pool()


def message(name: str) -> Any:
    """The class of a message by its full name."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))
