"""Our HPACK against the `hpack` library: the same fields, the same table, the same refusals."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.gateway.hpack import TABLE_SIZE, Decoder, HpackError, TooManyFields, block_of, huffman_decode, literal

NAMES = st.sampled_from([b":path", b":method", b"te", b"x-a", b"x-b", b"content-type", b"user-agent"]) | st.binary(
    min_size=1, max_size=40
)
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=300) | st.sampled_from([b"GET", b"trailers", b""])), max_size=12)


def theirs(max_size: int = 1 << 16) -> hpack.Decoder:
    return hpack.Decoder(max_header_list_size=max_size)


def plain(fields) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in fields]


def entries(decoder: Decoder) -> list[tuple[bytes, bytes]]:
    return list(decoder._entries)


def test_the_examples_of_the_rfc() -> None:
    decoder = Decoder(1 << 16)
    first = bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")
    second = bytes.fromhex("828684be5886a8eb10649cbf")
    third = bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")
    base = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
    assert decoder.decode(first) == base
    assert decoder.decode(second) == [*base, (b"cache-control", b"no-cache")]
    assert decoder.decode(third) == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/index.html"),
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ]
    assert entries(decoder)[0] == (b"custom-key", b"custom-value")


@given(
    blocks=st.lists(
        st.tuples(FIELDS, st.booleans(), st.none() | st.sampled_from([0, 60, 200, TABLE_SIZE])), min_size=1, max_size=8
    )
)
def test_what_the_library_encodes_is_read_as_it_reads_it(blocks) -> None:
    encoder, known, ours = hpack.Encoder(), theirs(), Decoder(1 << 20)
    for fields, huffman, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        block = encoder.encode(fields, huffman=huffman)
        assert ours.decode(block) == plain(known.decode(block, raw=True)) == fields
        assert entries(ours) == plain(known.header_table.dynamic_entries)


@given(block=st.binary(max_size=200) | FIELDS.map(lambda fields: hpack.Encoder().encode(fields)[1:]))
def test_whatever_comes_is_read_or_refused_as_the_library_does(block: bytes) -> None:
    known, ours = theirs(), Decoder(1 << 16)
    try:
        wanted = plain(known.decode(block, raw=True))
    except (hpack.HPACKError, IndexError):  # the library lets an IndexError out for some cut blocks
        with pytest.raises(HpackError):
            ours.decode(block)
        return
    try:
        got = ours.decode(block)
    except HpackError as error:
        assert "integer is too" in str(error)
    else:
        assert got == wanted
        assert entries(ours) == plain(known.header_table.dynamic_entries)


@given(start=FIELDS, blocks=st.lists(FIELDS.map(lambda fields: hpack.Encoder().encode(fields)), max_size=12))
def test_equal_blocks_mean_the_same_while_the_generation_stands(start, blocks) -> None:
    """The connection's memory of blocks, done as it does it, against plain decoding."""
    known, ours, memory = theirs(1 << 20), Decoder(1 << 20), {}
    first = hpack.Encoder().encode(start)
    for block in [first, *blocks, *blocks, first, *blocks]:
        wanted = plain(known.decode(block, raw=True))
        before = ours.generation
        got = memory.get(block)
        if got is None:
            got = ours.decode(block)
            if ours.generation == before:
                memory[block] = got
            else:
                memory.clear()
        assert got == wanted
        assert entries(ours) == plain(known.header_table.dynamic_entries)


@given(data=st.binary(max_size=400))
def test_huffman_strings(data: bytes) -> None:
    coder = hpack.Encoder().huffman_coder
    assert huffman_decode(coder.encode(data)) == data


@given(data=st.binary(max_size=40))
def test_any_bytes_as_a_huffman_string(data: bytes) -> None:
    from hpack.huffman_table import decode_huffman

    try:
        wanted = decode_huffman(data)
    except hpack.HPACKError:
        with pytest.raises(HpackError):
            huffman_decode(data)
    else:
        assert huffman_decode(data) == wanted


@given(fields=FIELDS)
def test_what_we_write_leaves_the_table_alone(fields) -> None:
    known = theirs()
    assert plain(known.decode(block_of(*fields), raw=True)) == fields
    assert not known.header_table.dynamic_entries


def test_fields_are_bounded() -> None:
    with pytest.raises(TooManyFields):
        Decoder(1000).decode(literal(b"a", b"b" * 500) * 2)
    encoder = hpack.Encoder()
    bomb = encoder.encode([(b"a", b"b" * 4000)]) + b"\xbe" * 16_000
    with pytest.raises(TooManyFields):
        Decoder(1 << 16).decode(bomb)
