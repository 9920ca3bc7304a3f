"""Corrupt and hostile model files: the deploy says why, and nothing of it is left anywhere.

A file -> upload -> deploy fails with a code and a sentence; no version, endpoint, process, staged
file or marker is left; what was served goes on, and a good deploy works right after.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import socket
import stat
import struct
import subprocess
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Target
from tests.conftest import LIMITS
from tests.support import models, uploads
from tests.support.refusals import sentences
from tests.support.uploads import odd_tar, tar
from tests.support.watch import Watch

STAMP = b"\x8c\x10_sklearn_version\x94\x8c\x051.5.2\x94"  # no help to a hostile file: it is only text
PREDICTOR = "class Model:\n    def predict(self, inputs):\n        return inputs\n"
LIMIT = float(LIMITS["INFERRY_INSPECT_TIMEOUT"])


@dataclass(frozen=True)
class Bad:
    """One upload that must not become a model."""

    name: str
    upload: bytes
    code: str = "invalid_model"
    filename: str = "model.bin"
    says: str = ""
    slow: bool = False
    query: str = ""


class Runs:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def executes(code: str) -> bytes:
    """A pickle that runs Python code when it is loaded."""
    return pickle.dumps(Runs(exec, code))


def one(data: bytes, name: str = "model.joblib") -> bytes:
    return tar({f"artifact/{name}": data})


def python(text: str, **files: str) -> bytes:
    return tar({"artifact/model.py": text.encode(), **{f"artifact/{n}": t.encode() for n, t in files.items()}})


def requirements(*lines: str) -> bytes:
    return tar({"artifact/model.py": PREDICTOR.encode(), "artifact/requirements.txt": "\n".join(lines).encode()})


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def zip_link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("model.onnx")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def bomb(compress: Callable[[bytes], bytes]) -> bytes:
    """A joblib-like file that is small here and large once unpacked."""
    return compress(b"\x80\x04\x8e" + struct.pack("<Q", 2 << 30) + b"\0" * (300 << 20))


def packed(member: tarfile.TarInfo, data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(member, io.BytesIO(data) if data else None)
    return buffer.getvalue()


def packed_link() -> bytes:
    link = tarfile.TarInfo("model.onnx")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return packed(link)


def packed_escape() -> bytes:
    member = tarfile.TarInfo("../../escaped.onnx")
    member.size = 4
    return packed(member, b"data")


@pytest.fixture(scope="module")
def canary() -> Iterator[tuple[int, list[bytes]]]:
    """A port that must never be spoken to, and what was said to it."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    end = threading.Event()

    def listen() -> None:
        while not end.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1)
                heard.append(connection.recv(100))

    thread = threading.Thread(target=listen)
    thread.start()
    yield listener.getsockname()[1], heard
    end.set()
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where hostile files try to write; the folder is open to everybody, the sandbox is not asked."""
    folder = tmp_path_factory.mktemp("outside")
    folder.chmod(0o777)
    return folder / "marker"


def files(iris: bytes) -> list[Bad]:
    """Files that are no model, or are one no more."""
    numpy_file = b"\x93NUMPY\x01\x00" + b"v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}".ljust(118)
    return [
        Bad("an ONNX file cut in half", one(iris[: len(iris) // 2], "model.onnx"), says="truncated"),
        Bad("an ONNX file without its end", one(iris[:-7], "model.onnx")),
        Bad("an ONNX file with flipped bytes", one(flipped(iris), "model.onnx")),
        Bad("random bytes called ONNX", one(os.urandom(5000), "model.onnx")),
        Bad("random bytes called joblib", one(os.urandom(5000))),
        Bad("zeros", one(b"\0" * 100_000, "model.onnx")),
        Bad("an empty file", one(b"", "model.onnx"), says="empty"),
        Bad("a text file", one(b"Dear platform,\nplease serve me.\n", "model.onnx")),
        Bad("a CSV", one(b"a,b\n1,2\n", "model.csv")),
        Bad("an HTML page", one(b"<!DOCTYPE html><html>404</html>", "model.joblib")),
        Bad("a pointer to large files", one(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")),
        Bad("a picture", one(b"\x89PNG\r\n\x1a\n" + os.urandom(200), "model.png")),
        Bad("an ELF program", one(b"\x7fELF" + os.urandom(200), "model")),
        Bad("a numpy file of objects", one(numpy_file + pickle.dumps([1]), "model.npy")),
        Bad("a pickle of no model", one(pickle.dumps({"weights": [1, 2, 3]}))),
        Bad("a pickle cut in half", one(pickle.dumps({"sklearn": list(range(1000))})[:700])),
        Bad("a pickle of an unknown module", one(b"\x80\x04cno_such_module\nThing\n.")),
        Bad("a pickle nested very deeply", one(b"\x80\x04" + b"(" * 100_000 + b"t" * 100_000 + b".")),
        Bad("a pickle that claims 4 EB", one(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x" * 100)),
        Bad("a zip that is damaged", one(zipped({"model.onnx": iris})[:-30], "model.zip")),
        Bad("a zip of nothing", one(zipped({}), "model.zip")),
        Bad("a keras archive", one(zipped({"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": b"x"}))),
        Bad("Python with a syntax error", python("def predict(:\n"), says="syntax"),
        Bad("Python without predict", python("def forecast(x):\n    return x\n")),
        Bad("two models in a folder", tar({"artifact/a.onnx": iris, "artifact/b.onnx": iris})),
        Bad("no file at all", tar({})),
        Bad("no artifact", tar({"sample/rows.csv": b"a\n1\n"})),
        Bad("two samples", tar({"artifact/m.onnx": iris, "sample/a.csv": b"a\n1\n", "sample/b.csv": b"a\n1\n"})),
        Bad("a sample of another model", tar({"artifact/m.onnx": iris, "sample/a.csv": b"a,b\nx,y\n"}), "invalid_input"),
        Bad("a sample that is no table", tar({"artifact/m.onnx": iris, "sample/a.csv": os.urandom(500)}), "invalid_input"),
    ]  # fmt: skip


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    for at in range(20, len(changed), 11):
        changed[at] ^= 0x55
    return bytes(changed)


def archives(iris: bytes) -> list[Bad]:
    """Uploads and packed models that try to leave their folder, or to fill the disk."""
    return [
        Bad("a tar that climbs out", tar({"artifact/../../escaped": b"x"})),
        Bad("a tar with an absolute name", tar({"/tmp/escaped": b"x"})),
        Bad("a tar with a backslash", tar({"artifact\\..\\escaped": b"x"})),
        Bad("a tar with a symbolic link", odd_tar("artifact/model.onnx", tarfile.SYMTYPE, "/etc/passwd")),
        Bad("a tar with a hard link", odd_tar("artifact/model.onnx", tarfile.LNKTYPE, "/etc/passwd")),
        Bad("a tar with a device", odd_tar("artifact/model.onnx", tarfile.CHRTYPE)),
        Bad("a tar with a pipe", odd_tar("artifact/model.onnx", tarfile.FIFOTYPE)),
        Bad("a tar with a name twice", tar({"artifact/m.onnx": iris, "artifact//m.onnx": b"x"})),
        Bad("a tar beside the artifact", tar({"artifact/m.onnx": iris, "bundle/manifest.json": b"{}"})),
        Bad("a tar with a newline in a name", tar({"artifact/a\nb": b"x"})),
        Bad("a tar cut off", tar({"artifact/m.onnx": iris})[:900]),
        Bad("a tar of random bytes", os.urandom(4096)),
        Bad("an empty upload", b""),
        Bad("a gzip in place of a tar", gzip.compress(tar({"artifact/m.onnx": iris}))),
        Bad("a tar of 20,000 files", tar({f"artifact/{n}": b"" for n in range(20_000)}), "too_large"),
        Bad("a tar that claims 1 EB", huge_claim(), "too_large"),
        Bad("a zip that climbs out", one(zipped({"../../escaped.onnx": iris}), "model.zip")),
        Bad("a zip with an absolute name", one(zipped({"/tmp/escaped.onnx": iris}), "model.zip")),
        Bad("a zip with a link", one(zip_link(), "model.zip")),
        Bad("a zip bomb", one(zipped({"model.onnx": b"\0" * (300 << 20)}), "model.zip"), "too_large"),
        Bad("a packed tar with a link", one(packed_link(), "model.tar.gz")),
        Bad("a packed tar that climbs out", one(packed_escape(), "model.tar.gz")),
        Bad("an ONNX file that names data outside", one(external(iris, "../../../../etc/passwd"), "model.onnx")),
        Bad("an ONNX file that names absolute data", one(external(iris, "/etc/passwd"), "model.onnx")),
    ]


def huge_claim() -> bytes:
    """A file of 2**60 bytes, as its header says."""
    entry = tarfile.TarInfo("artifact/m.onnx")
    entry.size = 1 << 60
    return entry.tobuf(tarfile.GNU_FORMAT) + b"x" * 2000


def external(iris: bytes, location: str) -> bytes:
    import onnx

    model = onnx.load_from_string(iris)
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type = "outside", onnx.TensorProto.FLOAT
    tensor.dims.append(4)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model.SerializeToString()


def hostile(marker: Path, port: int) -> list[Bad]:
    """Files whose loading runs code."""
    write = f"open({str(marker)!r}, 'w').write('x')"
    steal = f"data = open('/etc/passwd').read()\n{write}"
    call = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).send(b'secret')"
    fork = f"import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(300)\n    {write}\n"
    busy = "while True:\n    pass\n"
    allocate = "held = []\nwhile True:\n    held.append(bytearray(64 << 20))\n"
    orphan = fork.replace("    os.setsid()\n", "")
    return [
        Bad("a pickle that runs a command", one(pickle.dumps(Runs(os.system, f"touch {marker}")))),
        Bad("a pickle that runs a program", one(pickle.dumps(Runs(subprocess.check_output, ["touch", str(marker)])))),
        Bad("a pickle that opens a socket", one(executes(call))),
        Bad("a pickle that reads the passwords", one(executes(steal))),
        Bad("a pickle that writes outside", one(executes(write))),
        Bad("a pickle that kills its parent", one(executes("import os\nos.kill(os.getppid(), 9)"))),
        Bad("a pickle that kills everybody", one(executes("import os\nos.kill(-1, 9)"))),
        Bad("a pickle that kills itself", one(executes("import os\nos.kill(os.getpid(), 9)"))),
        Bad("a pickle that exits", one(executes("import os\nos._exit(0)")), says="status 0"),
        Bad("a pickle that raises SystemExit", one(executes("import sys\nsys.exit(0)"))),
        Bad("a pickle that raises with a path", one(executes("raise ValueError('at /home/me/x.py 0x7f00deadbeef')"))),
        Bad("a pickle that runs for ever", one(executes(busy)), slow=True),
        Bad("a pickle that sleeps for ever", one(executes("import time\ntime.sleep(1e6)")), slow=True),
        Bad("a pickle that ignores signals", one(executes(
            f"import signal\nfor n in (2, 15, 24): signal.signal(n, signal.SIG_IGN)\n{busy}")), slow=True),
        Bad("a pickle that allocates 100 GB", one(executes("bytearray(100 << 30)")), says="memory"),
        Bad("a pickle that allocates without end", one(executes(allocate)), says="memory", query="&memory_mb=2000"),
        Bad("a pickle that leaves a process", one(executes(orphan))),
        Bad("a pickle that leaves a process of its own session", one(executes(fork))),
        Bad("a pickle that fakes its result", one(executes(
            "import os\nopen('inspection.json', 'w').write('{\"inspection\": 7}')\nos._exit(0)"))),
        Bad("a pickle whose result is a link", one(executes(
            "import os\nos.symlink('/etc/passwd', 'inspection.json')\nos._exit(0)"))),
        Bad("a joblib bomb by zlib", one(bomb(lambda data: zlib.compress(data, 1)))),
        Bad("a joblib bomb by gzip", one(bomb(lambda data: gzip.compress(data, 1)))),
        Bad("a joblib bomb by bzip2", one(bomb(lambda data: bz2.compress(data, 1)))),
        Bad("Python that raises at import", python(f"raise RuntimeError('boom in /usr/lib')\n{PREDICTOR}"), says="boom"),
        Bad("Python that raises in load", python(f"{PREDICTOR}    def load(self):\n        1 / 0\n"), says="ZeroDivision"),
        Bad("Python that exits", python(f"import sys\nsys.exit(3)\n{PREDICTOR}")),
        Bad("Python that ends its process", python(f"import os\nos._exit(3)\n{PREDICTOR}"), says="status 3"),
        Bad("Python that crashes", python(f"import ctypes\nctypes.string_at(1)\n{PREDICTOR}"), says="signal 11"),
        Bad("Python that recurses in C", python(f"{PREDICTOR}    def load(self):\n        self.load()\n")),
        Bad("Python that imports what is not there", python(f"import no_such_package\n{PREDICTOR}"), says="no_such"),
        Bad("Python that runs for ever", python(f"{busy}{PREDICTOR}"), slow=True),
        Bad("Python that opens a socket", python(f"{call}\n{PREDICTOR}")),
        Bad("Python that writes outside", python(f"{write}\n{PREDICTOR}")),
        Bad("Python that reads the passwords", python(f"{steal}\n{PREDICTOR}")),
        Bad("Python that runs a shell", python(
            f"import subprocess\nsubprocess.run(['sh', '-c', 'echo x > {marker}'], check=True)\n{PREDICTOR}")),
    ]  # fmt: skip


def asked(marker: Path, port: int) -> list[Bad]:
    """Requirements that cannot be had, or that are more than a name and a version."""
    return [
        Bad("a package that does not exist", requirements("inferry-no-such-package-x7q==1.0"), "environment_failed"),
        Bad("a version that does not exist", requirements("six==999.0"), "environment_failed"),
        Bad("versions that contradict", requirements("six==1.16.0", "six==1.17.0"), "environment_failed"),
        Bad("an index of its own", requirements(f"--index-url http://127.0.0.1:{port}/simple", "six")),
        Bad("an extra index", requirements(f"--extra-index-url=http://127.0.0.1:{port}/", "six")),
        Bad("another file", requirements("-r /etc/passwd")),
        Bad("an editable path", requirements("-e .")),
        Bad("a path", requirements("../../../etc")),
        Bad("a file address", requirements("six @ file:///etc/passwd")),
        Bad("an address", requirements(f"http://127.0.0.1:{port}/six.whl")),
        Bad("a repository", requirements(f"git+http://127.0.0.1:{port}/x.git#egg=x")),
        Bad("a command", requirements("six; os.system('x')"), code="invalid_model|environment_failed"),
        Bad("lines that are no text", tar({"artifact/model.py": PREDICTOR.encode(), "artifact/requirements.txt": b"\xff"})),
        Bad("a script block that asks for a path", python(
            f"# /// script\n# dependencies = ['six @ file:///etc']\n# ///\n{PREDICTOR}")),
    ]  # fmt: skip


def judge(target: Target, bad: Bad, number: int) -> None:
    """Deploy it; AssertionError unless it fails as it should."""
    state = uploads.deploy(target.platform, f"bad-{number}", bad.upload, filename=bad.filename, query=bad.query)
    assert state["state"] == "failed", f"{bad.name}: {state['result']}"
    error = state["error"]
    assert error["code"] in bad.code.split("|"), (bad.name, error)
    assert error["help"], f"{bad.name}: it does not say what to do: {error}"
    sentences(error["message"], error["help"], bad.upload)
    assert bad.says in error["message"], (bad.name, error)
    assert state["result"] is None


def run(target: Target, marker: Path, cases: list[Bad], good: bytes) -> None:
    """All cases, the slow ones side by side; then look for what they left."""
    watch = Watch(target.platform, marker)
    problems = []

    def attempt(numbered: tuple[int, Bad]) -> str:
        try:
            judge(target, numbered[1], numbered[0])
        except AssertionError as error:
            return f"{numbered[1].name}: {str(error)[:600]}"
        return ""

    with ThreadPoolExecutor(6) as pool:
        slow = pool.map(attempt, [(n, bad) for n, bad in enumerate(cases) if bad.slow])
        for number, bad in enumerate(cases):
            if not bad.slow:
                problems.append(attempt((number, bad)))
                target.still_serves()
        problems += slow
    assert not [problem for problem in problems if problem], "\n".join(filter(None, problems))
    watch.unchanged()
    assert uploads.deployed(target.platform, "after-bad", good)["new_version"]
    for path in ("/v1/endpoints/after-bad", "/v1/models/after-bad"):
        assert target.platform.call("DELETE", path, control=True).status_code == 204


@pytest.fixture(scope="module")
def iris(model_dir: Path) -> bytes:
    return models.iris_onnx(model_dir).read_bytes()


def test_files_that_are_no_model_are_refused(target: Target, iris: bytes, marker: Path) -> None:
    run(target, marker, files(iris), one(iris, "good.onnx"))


def test_archives_that_leave_their_folder_or_grow_are_refused(target: Target, iris: bytes, marker: Path) -> None:
    run(target, marker, archives(iris), one(iris, "good.onnx"))
    assert not Path("/tmp/escaped").exists()
    assert not list(target.platform.home.rglob("escaped*"))


@pytest.mark.slow
def test_files_that_run_code_reach_nothing_and_leave_nothing(
    target: Target, iris: bytes, marker: Path, canary: tuple[int, list[bytes]]
) -> None:
    begun = time.monotonic()
    port, heard = canary
    run(target, marker, hostile(marker, port), one(iris, "good.onnx"))
    assert heard == []
    assert time.monotonic() - begun < 10 * LIMIT


@pytest.mark.slow
def test_requirements_are_names_and_versions_or_refused(
    target: Target, iris: bytes, marker: Path, canary: tuple[int, list[bytes]]
) -> None:
    port, heard = canary
    run(target, marker, asked(marker, port), one(iris, "good.onnx"))
    assert heard == []
