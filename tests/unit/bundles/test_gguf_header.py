"""GGUF headers: what adds up is read, everything else gets a sentence and never a crash."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.bundles.detect import detect
from inferry.bundles.gguf_header import read_header
from inferry.errors import InvalidModel
from tests.support.gguf_bytes import LLAMA, gguf, key, tensor, text


def written(tmp_path, data):
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    return path


def test_a_sound_file_says_what_it_is(tmp_path):
    header = read_header(written(tmp_path, gguf()))
    assert (header.version, header.architecture, header.context, header.chats, header.tensors) == (
        3,
        "llama",
        2048,
        True,
        1,
    )
    found = detect(tmp_path)
    assert (found.runtime, found.entry, found.options) == ("llm", "m.gguf", {"trained": 2048, "chats": True})
    assert found.requirements[0].startswith("xllamacpp")
    assert found.notes == ()


def test_an_encoder_makes_embeddings(tmp_path):
    (tmp_path / "m.gguf").write_bytes(gguf([key("general.architecture", 8, text("bert")), *LLAMA[2:]]))
    found = detect(tmp_path)
    assert (found.options, found.notes) == ({"trained": 0, "task": "feature-extraction"}, ())


def test_a_model_without_a_chat_template_is_told_of(tmp_path):
    written(tmp_path, gguf(LLAMA))
    assert "no chat template" in detect(tmp_path).notes[0]


BAD = {
    "another version": (gguf(version=1), "The GGUF file has the version 1."),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(64), "The GGUF file is big-endian."),
    "cut in its counts": (gguf()[:14], "The GGUF file is cut off: it ends within its counts"),
    "cut in a value": (gguf(counts=(0, 1))[:60], "The GGUF file is cut off: it ends within the value of 'general.architecture'"),
    "a flood of tensors": (gguf(counts=(1 << 60, 1)), f"The GGUF file claims {1 << 60} tensors, which is over the limit of 131072"),
    "more tensors than room": (gguf(counts=(1000, 1)), "The GGUF file claims 1000 tensors, which is more than it has room for"),
    "a flood of keys": (gguf(counts=(1, 1 << 40)), f"The GGUF file claims {1 << 40} keys, which is over the limit of 16384"),
    "a long text": (gguf([key("a", 8, struct.pack("<Q", 1 << 62))]), f"has the value of 'a' of {1 << 62} bytes, which is over the limit"),
    "a flood of elements": (gguf([key("a", 9, struct.pack("<IQ", 4, 1 << 50))]), "claims 1125899906842624 elements in the value of 'a'"),
    "an array of arrays": (gguf([key("a", 9, struct.pack("<IQ", 9, 1))]), "holds an array of the type 9 as the value of 'a'"),
    "an unknown type of value": (gguf([key("a", 77, b"")]), "gives 'a' the unknown type 77"),
    "a key twice": (gguf([LLAMA[0], LLAMA[0]]), "has the key 'general.architecture' twice"),
    "a key that is no text": (gguf([key(b"\xff\xfe", 4, bytes(4))]), "has a key that is no text"),
    "an offset past the end": (gguf(tensors=[tensor(offset=1 << 40)]), "puts the tensor 'w' at bytes 1099511627776 to 1099511628032"),
    "truncated data": (gguf(data=100), "puts the tensor 'w' at bytes 0 to 256 of its data, which has 100"),
    "an odd offset": (gguf(tensors=[tensor(offset=7)]), "puts the tensor 'w' at 7, which is no multiple of 32"),
    "tensors on each other": (gguf(tensors=[tensor(), tensor("v", offset=32)], data=512), "puts the tensor 'v' over another one"),
    "a tensor twice": (gguf(tensors=[tensor(), tensor()]), "has the tensor 'w' twice"),
    "a huge shape": (gguf(tensors=[tensor(shape=(1 << 63, 1 << 63))]), "puts the tensor 'w' at bytes 0 to"),
    "an empty shape": (gguf(tensors=[tensor(shape=(32, 0))]), "gives the tensor 'w' the impossible shape [32, 0]"),
    "half a block": (gguf(tensors=[tensor(shape=(33, 1), kind=2)]), "gives the tensor 'w' the impossible shape [33, 1]"),
    "five dimensions": (gguf(tensors=[tensor(shape=(1,) * 5)]), "gives the tensor 'w' 5 dimensions"),
    "an unknown tensor type": (gguf(tensors=[tensor(kind=250)]), "gives the tensor 'w' the unknown type 250"),
    "a false alignment": (gguf([*LLAMA, key("general.alignment", 4, struct.pack("<I", 0))]), "has the impossible alignment 0"),
    "no architecture": (gguf(LLAMA[2:]), "does not say which architecture it has"),
    "no tokenizer": (gguf(LLAMA[:2]), "has no tokenizer"),
    "no tensors": (gguf(tensors=[]), "has no tensors"),
    "a part of a model": (gguf([*LLAMA, key("split.count", 2, struct.pack("<H", 3))]), "is one of 3 parts of a model"),
    "an adapter": (gguf([*LLAMA, key("general.type", 8, text("adapter"))]), "holds 'adapter', not a whole model"),
    "an encoder": (gguf([key("general.architecture", 8, text("clip")), *LLAMA[2:]]), "holds 'clip', which neither writes text nor"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_false_file_gets_a_sentence(tmp_path, case):
    data, words = BAD[case]
    written(tmp_path, data)
    with pytest.raises(InvalidModel) as caught:
        detect(tmp_path)
    assert words in caught.value.message
    assert caught.value.help


@given(st.data())
def test_no_bytes_crash_the_reader(tmp_path_factory, data):
    """Any change to a sound file, and any bytes behind the magic, end in a header or in InvalidModel."""
    whole = bytearray(gguf(tensors=[tensor(), tensor("v", offset=256)], data=512))
    if data.draw(st.booleans()):
        whole[8:] = data.draw(st.binary(max_size=400))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=8)):
        whole[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    try:
        header = read_header(path)
    except InvalidModel:
        return
    assert header.version in (2, 3)
