"""WAV files become samples, whatever their width; resampling keeps a tone; no bytes break the reader."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.media import wav
from inferry.types.signature import AudioSpec


def tone(rate: int, seconds: float = 0.5, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def riff(
    kind: int, channels: int, rate: int, bits: int, data: bytes, *, size: int | None = None, extra: bytes = b""
) -> bytes:
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(head)) + head
    chunks += b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd chunk between, with its pad byte
    chunks += b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def test_python_s_own_writer_is_read():
    kept = io.BytesIO()
    with wave.open(kept, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(22050)
        file.writeframes(np.array([[0, 16384], [-32768, 32767]], "<i2").tobytes())
    samples, rate = wav.read(kept.getvalue())
    assert rate == 22050
    np.testing.assert_allclose(samples, [[0, 0.5], [-1, 32767 / 32768]], atol=1e-7)


WIDTHS = {
    8: (1, lambda x: (x * 128 + 128).astype("u1").tobytes()),
    16: (1, lambda x: (x * 2**15).astype("<i2").tobytes()),
    24: (1, lambda x: b"".join(int(v).to_bytes(3, "little", signed=True) for v in x * 2**23)),
    32: (1, lambda x: (x * 2**31).astype("<i4").tobytes()),
}


@pytest.mark.parametrize("bits", WIDTHS)
def test_every_width_of_pcm(bits):
    kind, pack = WIDTHS[bits]
    samples, _ = wav.read(riff(kind, 1, 8000, bits, pack(tone(8000))))
    np.testing.assert_allclose(samples[:, 0], tone(8000), atol=2 ** (2 - bits) + 1e-7)


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_floats(dtype):
    bits = int(dtype[-1]) * 8
    samples, _ = wav.read(riff(3, 1, 8000, bits, tone(8000).astype(dtype).tobytes()))
    np.testing.assert_allclose(samples[:, 0], tone(8000), atol=1e-6)


def test_the_extensible_head_and_an_open_end():
    extra = struct.pack("<HHI", 22, 16, 4) + struct.pack("<H", 1) + b"\0" * 14
    for size in (0, 0xFFFFFFFF):
        samples, _ = wav.read(riff(0xFFFE, 1, 8000, 16, b"\0\x40" * 9, size=size, extra=extra))
        assert samples[:, 0].tolist() == [0.5] * 9


def test_channels():
    stereo = riff(1, 2, 16000, 16, np.array([[0, 16384]] * 4, "<i2").tobytes())
    mono = riff(1, 1, 16000, 16, np.array([16384] * 4, "<i2").tobytes())
    assert wav.to_tensor(stereo, AudioSpec(rate=16000)).tolist() == [0.25] * 4
    assert wav.to_tensor(stereo, AudioSpec(rate=16000, channels=2)).tolist() == [[0] * 4, [0.5] * 4]
    assert wav.to_tensor(mono, AudioSpec(rate=16000, channels=2)).tolist() == [[0.5] * 4] * 2


@pytest.mark.parametrize(
    ("rate", "wanted"), [(44100, 16000), (8000, 16000), (48000, 44100), (16000, 15999), (96000, 8000)]
)
def test_a_tone_stays_that_tone_at_another_rate(rate, wanted):
    made = wav.resample(tone(rate).astype(np.float32)[:, np.newaxis], rate, wanted)[:, 0]
    assert len(made) == -(-int(rate * 0.5) * wanted // rate)
    edge = wanted // 50
    np.testing.assert_allclose(made[edge:-edge], tone(wanted, 0.6)[: len(made)][edge:-edge], atol=2e-3)


def test_what_is_above_the_new_rate_is_gone():
    made = wav.resample(tone(48000, hertz=7000).astype(np.float32)[:, np.newaxis], 48000, 8000)[:, 0]
    assert np.abs(made[200:-200]).max() < 5e-3


def test_normalised():
    made = wav.to_tensor(
        riff(1, 1, 16000, 16, (tone(16000) * 9000 + 500).astype("<i2").tobytes()), AudioSpec(rate=16000, normalise=True)
    )
    assert abs(made.mean()) < 1e-4
    assert abs(made.var() - 1) < 1e-3


GOOD = riff(1, 1, 8000, 16, b"\1\0" * 20)
WRONG = {
    "no WAV": (b"\x89PNG", "The sound is no WAV file."),
    "cut off": (GOOD[:-10], "The sound is cut off: 40 bytes of samples are promised, 30 are there."),
    "only a head": (GOOD[:36], "The sound is cut off: it has no samples."),
    "no samples": (riff(1, 1, 8000, 16, b""), "The sound has no samples."),
    "packed": (riff(2, 1, 8000, 4, b"\0" * 40), "The sound is WAV of a kind that is not read here (2, 4 bits)."),
    "no channels": (riff(1, 0, 8000, 16, b"\0" * 40), "The sound has 0 channels at 8000 samples a second."),
    "a mad rate": (riff(1, 1, 0, 16, b"\0" * 40), "The sound has 1 channels at 0 samples a second."),
    "no numbers": (riff(3, 1, 8000, 32, struct.pack("<f", float("nan"))), "The sound holds samples that are no numbers."),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(kind):
    data, sentence = WRONG[kind]
    with pytest.raises(InvalidInput) as caught:
        wav.read(data)
    assert caught.value.message == sentence


def test_a_file_that_would_grow_beyond_bounds_is_refused():
    slow = riff(1, 1, 1000, 8, b"\x80" * 900_000)
    with pytest.raises(InvalidInput, match="over 32 million samples"):
        wav.to_tensor(slow, AudioSpec(rate=48000))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8),
    st.integers(0, 200),
    st.binary(max_size=30),
)
def test_no_bytes_break_it(changes, length, tail):
    data = bytearray(GOOD[:length] + tail)
    for at, value in changes:
        if data:
            data[at % len(data)] = value
    try:
        made = wav.to_tensor(bytes(data), AudioSpec(rate=8000))
    except InvalidInput as error:
        assert error.message.startswith("The sound")
    else:
        assert made.ndim == 1
        assert np.isfinite(made).all()
