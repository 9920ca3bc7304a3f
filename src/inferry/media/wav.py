"""WAV files: bytes -> samples from -1 to 1, at the rate and with the channels that a model takes.

Data flow: RIFF chunks -> `fmt ` (PCM of 8, 16, 24 or 32 bits, float of 32 or 64) -> the `data` chunk as
float32 [frames, channels] -> channels mixed -> resampled -> [samples] or [channels, samples].

Resampling is a windowed sinc (Hann, 16 zero crossings a side, cut off at the lower of the two rates), each
output sample computed at its exact position. Beyond both ends there is silence.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import numpy as np

from inferry.errors import InvalidInput
from inferry.types.signature import AudioSpec

Array = np.ndarray[Any, Any]

MAX_SAMPLES = 32 << 20  # of all channels, before and after resampling
MAX_CHANNELS = 64
RATES = range(1000, 768_001)
CROSSINGS = 16
MAX_CELLS = 1 << 21  # of a kernel table, or of the samples looked at in one go

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
OPEN_END = (0, 0xFFFFFFFF)  # sizes that a writer leaves when it cannot go back
_HELP = "Send a WAV file: PCM of 8, 16, 24 or 32 bits, or float."


class _Format(NamedTuple):
    kind: int
    channels: int
    rate: int
    bits: int


def to_tensor(data: bytes, spec: AudioSpec, what: str = "The sound") -> Array:
    """One sound as float32 [samples], or [channels, samples] for more than one channel. Raises InvalidInput."""
    samples, rate = read(data, what)
    if spec.channels == 1:
        samples = samples.mean(axis=1, dtype=np.float32, keepdims=True)
    elif samples.shape[1] == 1:
        samples = np.repeat(samples, spec.channels, axis=1)
    elif samples.shape[1] != spec.channels:
        raise InvalidInput(
            f"{what} has {samples.shape[1]} channels, but the model takes {spec.channels}.", help="Mix them before."
        )
    wave = np.ascontiguousarray(resample(samples, rate, spec.rate, what).T)
    if spec.normalise:
        wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    return wave[0] if spec.channels == 1 else wave


def read(data: bytes, what: str = "The sound") -> tuple[Array, int]:
    """Samples as float32 [frames, channels], and the rate. Raises InvalidInput."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise InvalidInput(f"{what} is no WAV file.", help=_HELP)
    form: _Format | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt ":
            form = _format(data[at : at + min(size, 40)], what)
        elif name == b"data":
            if form is None:
                break
            return _samples(data, at, size, form, what), form.rate
        at += size + size % 2
    raise InvalidInput(f"{what} is cut off: it has no samples.", help=_HELP)


def _format(chunk: bytes, what: str) -> _Format:
    try:
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
        if kind == EXTENSIBLE:
            (kind,) = struct.unpack_from("<H", chunk, 24)
    except struct.error:
        raise InvalidInput(f"{what} has a damaged head.", help=_HELP) from None
    if (kind, bits) not in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}:
        raise InvalidInput(f"{what} is WAV of a kind that is not read here ({kind}, {bits} bits).", help=_HELP)
    if not 1 <= channels <= MAX_CHANNELS or rate not in RATES:
        raise InvalidInput(
            f"{what} has {channels} channels at {rate} samples a second.",
            help=f"Send up to {MAX_CHANNELS} channels at {RATES.start} to {RATES.stop - 1}.",
        )
    return _Format(kind, channels, rate, bits)


def _samples(data: bytes, at: int, size: int, form: _Format, what: str) -> Array:
    left = len(data) - at
    if size > left and size not in OPEN_END:
        raise InvalidInput(f"{what} is cut off: {size} bytes of samples are promised, {left} are there.", help=_HELP)
    frame = form.channels * form.bits // 8
    frames = (left if size in OPEN_END else size) // frame
    if not frames:
        raise InvalidInput(f"{what} has no samples.", help=_HELP)
    _check_length(frames * form.channels, what)
    raw = np.frombuffer(data, np.uint8, frames * frame, at)
    with np.errstate(all="ignore"):
        samples = _numbers(raw, form)
    if not np.isfinite(samples).all():
        raise InvalidInput(f"{what} holds samples that are no numbers.", help=_HELP)
    return samples.reshape(frames, form.channels)


def _numbers(raw: Array, form: _Format) -> Array:
    """float32, full scale at 1."""
    if form.kind == FLOAT:
        floats: Array = raw.view(f"<f{form.bits // 8}").astype(np.float32)
        return floats
    if form.bits == 8:
        return (raw.astype(np.float32) - 128) / 128
    if form.bits == 24:  # as the upper three bytes of four
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        return wide.reshape(-1).view("<i4").astype(np.float32) / 2**31
    whole: Array = raw.view(f"<i{form.bits // 8}").astype(np.float32)
    return whole / np.float32(2 ** (form.bits - 1))


def _check_length(samples: int, what: str) -> None:
    if samples > MAX_SAMPLES:
        raise InvalidInput(f"{what} has over {MAX_SAMPLES >> 20} million samples.", help="Send it in pieces.")


def resample(samples: Array, rate: int, wanted: int, what: str = "The sound") -> Array:
    """[frames, channels] at another rate: ceil(frames * wanted / rate) frames."""
    if rate == wanted:
        return samples
    common = math.gcd(rate, wanted)
    up, down = wanted // common, rate // common
    count = -(-len(samples) * up // down)
    _check_length(count * samples.shape[1], what)
    cutoff = min(1.0, up / down)
    half = math.ceil(CROSSINGS / cutoff)
    steps = np.arange(1 - half, half + 1)
    known = kernel(np.arange(up) / up, steps, cutoff) if up * len(steps) <= MAX_CELLS else None
    padded = np.pad(samples, ((half - 1, half), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(steps), axis=0)  # [frames, channels, steps]
    made = np.empty((count, samples.shape[1]), np.float32)
    piece = max(1, MAX_CELLS // (len(steps) * samples.shape[1]))
    for start in range(0, count, piece):
        position = np.arange(start, min(start + piece, count), dtype=np.int64) * down
        whole, phase = position // up, position % up
        weights = known[phase] if known is not None else kernel(phase / up, steps, cutoff)
        made[start : start + piece] = np.einsum("ncs,ns->nc", windows[whole], weights)
    return made


def kernel(fractions: Array, steps: Array, cutoff: float) -> Array:
    """The weights of the samples at `steps` around each position, a row a fraction; each row sums to 1."""
    away = (steps[np.newaxis, :] - fractions[:, np.newaxis]) * cutoff
    window = np.cos(np.clip(away / CROSSINGS, -1, 1) * np.pi / 2) ** 2
    weights = np.sinc(away) * window
    made: Array = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return made


def made_up(rate: int) -> bytes:
    """A second of a 440 Hz tone, 16 bits, where nobody gave a sound."""
    tone = (np.sin(np.arange(rate) * (2 * np.pi * 440 / rate)) * 8192).astype("<i2").tobytes()
    head = struct.pack("<HHIIHH", PCM, 1, rate, rate * 2, 2, 16)
    return b"".join((
        b"RIFF", struct.pack("<I", 36 + len(tone)), b"WAVEfmt ", struct.pack("<I", len(head)), head,
        b"data", struct.pack("<I", len(tone)), tone,
    ))  # fmt: skip
