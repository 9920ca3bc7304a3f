"""Raw tensors: every datatype goes to bytes and back, and sizes are checked before memory is taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferry.errors import InvalidInput, ModelFailed
from inferry.protocols import tensors
from inferry.types.signature import DATATYPES
from tests.support.protocol_cases import spec

NUMBERS = [name for name in DATATYPES if name not in ("BYTES", "BF16")]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@given(st.data(), st.sampled_from(NUMBERS))
def test_numbers_round_trip_exactly(data: st.DataObject, datatype: str) -> None:
    array = data.draw(hnp.arrays(tensors.DTYPES[datatype], SHAPES))
    raw = tensors.write_raw(datatype, array)
    back = tensors.read_raw(datatype, array.shape, memoryview(raw), "x")
    assert back.dtype == array.dtype
    assert back.flags.writeable
    assert back.flags.aligned
    np.testing.assert_array_equal(back, array)


@given(st.lists(st.one_of(st.text(), st.binary()), max_size=6))
def test_text_and_bytes_round_trip(elements: list[str | bytes]) -> None:
    array = tensors.objects(elements)
    raw = tensors.write_raw("BYTES", array)
    back = tensors.read_raw("BYTES", array.shape, memoryview(raw), "x").tolist()
    assert [tensors.to_bytes(e) for e in back] == [tensors.to_bytes(e) for e in elements]
    assert all(type(e) is str or tensors.text_or_bytes(e) == e for e in back)


@given(hnp.arrays(np.float32, SHAPES))
def test_bf16_is_the_nearest_and_stable(array: np.ndarray) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with np.errstate(all="ignore"):
        nearest = array.astype(ml_dtypes.bfloat16).astype(np.float32)
    once = tensors.read_raw("BF16", array.shape, memoryview(tensors.write_raw("BF16", array)), "x")
    np.testing.assert_array_equal(once, nearest)
    assert tensors.write_raw("BF16", once) == tensors.write_raw("BF16", array)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_triton_agrees_on_the_datatype(datatype: str) -> None:
    utils = pytest.importorskip("tritonclient.utils")
    if datatype != "BF16":
        assert tensors.DTYPES[datatype] == utils.triton_to_np_dtype(datatype)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ([-1, 4], "negative"),
        ([2**31, 2**31], "too many elements"),
        ([2**32, 2**32], "too many elements"),
        ([0, 2**62], "too many elements"),
        ([0, 2**20, 2**20], "too many elements"),
        ([10**30], "too many elements"),
        ([1] * 40, "40 dimensions"),
        ([2, 3], "16 bytes of data, but its shape \\[2, 3\\] of FP32 takes 24"),
    ],
)
def test_a_shape_that_is_not_the_data_is_refused(shape: list[int], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        tensors.read_raw("FP32", shape, memoryview(bytes(16)), "Input 'x'")


@pytest.mark.parametrize(
    ("raw", "wanted", "says"),
    [
        (b"", 1, "too few"),
        (b"\x01\x00\x00\x00", 1, "past the end"),
        (b"\xff\xff\xff\xff", 1, "past the end"),
        (b"\x01\x00\x00\x00a\x00\x00\x00", 2, "past the end"),
        (b"\x01\x00\x00\x00ab", 1, "1 bytes left over"),
        (b"\x00" * 8, 2**28, "too few"),
    ],
)
def test_bytes_framing_is_bounded(raw: bytes, wanted: int, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        tensors.read_raw("BYTES", [wanted], memoryview(raw), "Input 'x'")


def test_a_bool_is_any_byte_but_zero() -> None:
    assert tensors.read_raw("BOOL", [3], memoryview(b"\x00\x01\x07"), "x").tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("given_type", "wanted", "fits"),
    [
        ("INT32", "INT64", True), ("FP32", "FP64", True), ("INT64", "FP64", True), ("UINT8", "FP32", True),
        ("BF16", "FP32", True), ("UINT32", "INT64", True), ("FP16", "FP32", True), ("INT8", "FP16", True),
        ("INT64", "INT32", False), ("FP64", "FP32", False), ("INT64", "FP32", False), ("BOOL", "FP32", False),
        ("UINT64", "INT64", False), ("FP32", "INT64", False), ("BYTES", "FP32", False), ("FP32", "BYTES", False),
        ("FP32", "BF16", False), ("INT8", "UINT8", False), ("FP16", "BF16", False),
    ],
)  # fmt: skip
def test_only_widening_is_done_silently(given_type: str, wanted: str, fits: bool) -> None:
    array = np.zeros((2,), tensors.DTYPES[given_type])
    if fits:
        assert tensors.fit(array, given_type, spec("x", wanted), column=True).dtype == tensors.DTYPES[wanted]
    else:
        with pytest.raises(InvalidInput, match=f"datatype {given_type}, but the model takes {wanted}"):
            tensors.fit(array, given_type, spec("x", wanted), column=True)


@pytest.mark.parametrize(
    ("shape", "wanted", "column", "fits"),
    [
        ((3, 4), (-1, 4), False, True), ((3, 5), (-1, 4), False, False), ((4,), (-1, 4), False, False),
        ((1, 3, 4), (-1, 4), False, False), ((), (), False, True), ((1,), (), False, False),
        ((3,), (-1,), True, True), ((3, 1), (-1,), True, True), ((3, 2), (-1,), True, False), ((), (-1,), True, False),
    ],
)  # fmt: skip
def test_rank_and_sizes_must_fit(shape: tuple[int, ...], wanted: tuple[int, ...], column: bool, fits: bool) -> None:
    array = np.zeros(shape, np.float32)
    if fits:
        got = tensors.fit(array, "FP32", spec("x", "FP32", wanted), column=column)
        assert got.shape == (shape[:1] if column else shape)
    else:
        with pytest.raises(InvalidInput, match="has the shape"):
            tensors.fit(array, "FP32", spec("x", "FP32", wanted), column=column)


def test_an_answer_without_a_datatype_is_the_models_fault() -> None:
    with pytest.raises(ModelFailed, match="complex128"):
        tensors.datatype_of(np.zeros(1, complex), "Output 'y'")
    assert tensors.datatype_of(np.array(["a"]), "y") == "BYTES"
    assert tensors.datatype_of(np.zeros(1, ">f4"), "y") == "FP32"
    assert tensors.write_raw("FP32", np.ones(1, ">f4")) == np.ones(1, "<f4").tobytes()
