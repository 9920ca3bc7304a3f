"""PyTorch's and JAX's files by hand: the frame that detection reads, with any names in their pickles."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

STATE = [("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2"), ("torch", "FloatStorage")]


def naming(*names: tuple[str, str], protocol: int = 2) -> bytes:
    """A pickle that looks these globals up."""
    if protocol == 2:
        return b"\x80\x02" + b"".join(f"c{module}\n{name}\n0".encode() for module, name in names) + b"N."
    told = (b"".join(b"\x8c" + bytes([len(word)]) + word.encode() + b"\x94" for word in one) for one in names)
    return b"\x80\x04" + b"".join(words + b"\x930" for words in told) + b"N."


def zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def checkpoint(*names: tuple[str, str], protocol: int = 2) -> bytes:
    return zipped({"m/data.pkl": naming(*names, protocol=protocol), "m/version": b"3"})


def legacy(*names: tuple[str, str]) -> bytes:
    """What torch wrote before its zip files: a run of pickles."""
    magic = 0x1950A86A20F9469CFC6C
    return b"".join(pickle.dumps(one, 2) for one in (magic, 1001, {"little_endian": True})) + naming(*names)


def script(code: bytes = b"def forward(self): pass") -> bytes:
    return zipped({"m/data.pkl": naming(), "m/code/__torch__.py": code, "m/constants.pkl": b""})


def program(text: str = '"torch_version": "2.9.1+cpu"') -> bytes:
    return zipped({"m/archive_format": b"pt2", "m/models/model.json": f"{{{text}}}".encode()})


def jax(*, platforms: tuple[str, ...] = ("cpu",), version: str = "", mark: bytes = b"ML\xefR", cut: int = 0) -> bytes:
    """The frame of an exported function: the fields that are read, one after the other, the name last."""
    count = 27
    vtable, table = 4, 4 + 4 + 2 * count
    fields = {13: b"", 9: b"", **({26: b""} if version else {}), 1: b""}
    offsets = {number: 4 + 4 * place for place, number in enumerate(fields)}
    at, body, targets = table + 4 + 4 * len(fields), b"", {}

    def text(word: bytes) -> bytes:
        return struct.pack("<I", len(word)) + word

    for number in fields:
        targets[number] = at + len(body)
        if number == 9:
            start, inner = len(platforms) * 4, b""
            places = b""
            for which, word in enumerate(platforms):
                places += struct.pack("<I", start - 4 * which + len(inner))
                inner += text(word.encode())
            body += struct.pack("<I", len(platforms)) + places + inner
        else:
            body += text({13: mark + bytes(40), 26: version.encode(), 1: b"predict"}[number])
    head = struct.pack("<I", table) + struct.pack("<HH", 4 + 2 * count, 4 + 4 * len(fields))
    head += struct.pack(f"<{count}H", *(offsets.get(number, 0) for number in range(count)))
    head += struct.pack("<i", table - vtable)
    head += b"".join(struct.pack("<I", targets[number] - (table + offsets[number])) for number in fields)
    whole = head + body
    return whole[: len(whole) - cut]
