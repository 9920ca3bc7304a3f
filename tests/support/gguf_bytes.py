"""GGUF files, as small as they can be: written by hand, so that each byte can be a wrong one."""

from __future__ import annotations

import struct


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def tensor(name="w", shape=(32, 2), kind=0, offset=0):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


LLAMA = [
    key("general.architecture", 8, text("llama")),
    key("llama.context_length", 4, struct.pack("<I", 2048)),
    key("tokenizer.ggml.model", 8, text("gpt2")),
    key("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")),
    key("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 2) + bytes(8)),
]
CHAT = key("tokenizer.chat_template", 8, text("{{ messages }}"))
WHOLE = (*LLAMA, CHAT)
ONE = (tensor(),)


def gguf(keys=WHOLE, tensors=ONE, *, counts=None, version=3, data=256):
    tensors_count, keys_count = counts or (len(tensors), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", version, tensors_count, keys_count) + b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data)
