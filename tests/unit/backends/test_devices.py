"""Finding devices: whatever the driver says or does not say, there is an answer."""

from inferry.backends.devices import find_devices
from tests.support import fake_nvml


def found(tmp_path, monkeypatch, **how):
    name = f"nvml_{tmp_path.name}".replace("-", "_")
    monkeypatch.syspath_prepend(str(fake_nvml.write(tmp_path / "library", name=name, **how)))
    return find_devices(tmp_path, name)


def test_gpus_are_told_by_the_driver(tmp_path, monkeypatch):
    first, second = found(tmp_path, monkeypatch).gpus
    assert (first.index, first.id, first.name, first.memory_mb, first.free_mb) == (
        0,
        "GPU-aaaa",
        "NVIDIA H100",
        81559,
        80000,
    )
    assert second.id == "GPU-bbbb"


def test_no_library_no_driver_no_gpu_and_a_broken_driver_are_notes(tmp_path, monkeypatch):
    assert "pip install nvidia-ml-py" in find_devices(tmp_path, "no_such_library").words()
    assert "no NVIDIA driver (Driver Not Loaded)" in found(tmp_path, monkeypatch, fail="init").words()


def test_a_driver_that_fails_later_is_a_note_too(tmp_path, monkeypatch):
    assert "refuses to tell its GPUs (GPU is lost)" in found(tmp_path, monkeypatch, fail="count").words()


def test_a_driver_without_gpus_is_a_note(tmp_path, monkeypatch):
    assert "knows no GPU" in found(tmp_path, monkeypatch, gpus=[]).words()


def test_tpu_chips_are_counted_by_their_files(tmp_path):
    for name in ("accel0", "accel1", "accelerator"):
        (tmp_path / name).touch()
    assert find_devices(tmp_path, "no_such_library").tpus == 2
