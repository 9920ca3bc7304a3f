"""The sandbox, from inside: a child is forked, confined, and tries what it must not.

Each case runs in a process of its own, which plays the parent (with a secret in its
environment), forks, confines the child and prints what came of every attempt.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from inferry.security import landlock, linux
from inferry.security.sandbox import LAYERS, SandboxPolicy, clean_environment, default_read_paths, probe

SOURCE = str(Path(__file__).parents[3] / "src")
LINUX = bool(linux.machine())
pytestmark = pytest.mark.skipif(not LINUX, reason="the sandbox is for Linux")

PARENT = """
import ctypes, json, os, signal, socket, subprocess, sys, threading, time, warnings, shutil, tempfile
from inferry.security.sandbox import SandboxPolicy, confine, default_read_paths
given = json.loads(sys.argv[1])
scratch = given["scratch"]
exec(given["before"])
reading, writing = os.pipe()
parent = os.getpid()
child = os.fork()
if child == 0:
    os.close(reading)
    if given["user"]:
        os.setgroups([]); os.setresgid(*[given["user"]] * 3); os.setresuid(*[given["user"]] * 3)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable, as a process started by that user is
    prefixes = (sys.prefix, sys.base_prefix, given["source"])
    report = confine(SandboxPolicy(read=default_read_paths(prefixes), write=(scratch,), **given["policy"]))
    outcomes = {}
    for name, code in given["attempts"].items():
        try:
            space = dict(globals())
            exec(code, space)
            outcomes[name] = space.get("answer", "done")
        except BaseException as error:
            outcomes[name] = type(error).__name__
    with os.fdopen(writing, "w") as pipe:
        json.dump([report, outcomes], pipe)
    os._exit(0)
os.close(writing)
exec(given["meanwhile"])
with os.fdopen(reading) as pipe:
    said = pipe.read()
_, status = os.waitpid(child, 0)
print(json.dumps([json.loads(said) if said else None, status]))
"""


def inside(attempts, tmp_path, *, before="", meanwhile="", user=0, **policy):
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    scratch.chmod(0o777)
    given = {"scratch": str(scratch), "before": before, "meanwhile": meanwhile, "attempts": attempts}
    given |= {"policy": policy, "source": SOURCE, "user": user}
    done = subprocess.run(
        [sys.executable, "-c", PARENT, json.dumps(given)],
        env={**clean_environment(os.environ, str(scratch)), "PYTHONPATH": SOURCE, "SECRET": "s3cret"},
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    answer, status = json.loads(done.stdout)
    if answer is None and not os.WIFSIGNALED(status):
        raise AssertionError(done.stderr)
    return (*answer, status) if answer else (None, None, status)


FORBIDDEN = {
    "list the root": "os.listdir('/')",
    "list a home": "os.listdir('/root')",
    "read passwords": "open('/etc/shadow').read()",
    "read users": "open('/etc/passwd').read()",
    "read the parent's environment": "open(f'/proc/{parent}/environ').read()",
    "read the parent's memory": "open(f'/proc/{parent}/mem', 'rb')",
    "climb through its own root link": "open('/proc/self/root/etc/shadow').read()",
    "write beside scratch": "open(scratch + '/../outside', 'w')",
    "write in the shared temporary folder": "open('/tmp/inferry-sandbox-test', 'w')",
    "write in a library": "open(json.__file__, 'a')",
    "link out of scratch": "os.link(json.__file__, scratch + '/hard')",
    "truncate a library": "os.truncate(json.__file__, 0)",
    "connect over TCP": "socket.create_connection(('127.0.0.1', 80), 1)",
    "send over UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))",
    "connect to a unix socket": "socket.socket(socket.AF_UNIX).connect(scratch + '/s')",
    "make a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "signal the parent": "os.kill(parent, 0)",
    "limit the parent": "import resource; resource.prlimit(parent, resource.RLIMIT_CPU, (1, 1))",
    "run a program": "subprocess.run(['/bin/true'])",
    "replace itself": "os.execv(sys.executable, [sys.executable, '-V'])",
    "change owners": "os.chown(scratch, 1, 1)",
    "set a file's attribute": "os.setxattr(scratch, 'user.x', b'1')",
}
CALLS = {
    "ptrace": "ptrace(16, parent, 0, 0)",
    "unshare": "unshare(0x10000000)",
    "mount": "mount(b'none', scratch.encode(), b'tmpfs', 0, None)",
    "chroot": "chroot(scratch.encode())",
    "sethostname": "sethostname(b'x', 1)",
    "clone3": "syscall(435, 0, 0)",
}


@pytest.fixture(scope="module")
def attempted(tmp_path_factory):
    raw = "answer = ctypes.CDLL(None, use_errno=True).{}; answer = [answer, ctypes.get_errno()]"
    attempts = {**FORBIDDEN, **{name: raw.format(call) for name, call in CALLS.items()}}
    return inside(attempts, tmp_path_factory.mktemp("forbidden"))


def full(report):
    """Whether this host allows every layer; hosts that do not are reported, not failed."""
    if any(value.startswith("absent") for value in report.values()) or landlock.version() < 6:
        pytest.skip(f"this host allows only a part: {report}")


def test_every_layer_is_reported(attempted):
    report = attempted[0]
    assert tuple(report) == LAYERS
    assert all(value.startswith(("on", "absent: ")) for value in report.values())


@pytest.mark.parametrize("name", FORBIDDEN)
def test_cannot(attempted, name):
    report, outcomes, _ = attempted
    full(report)
    assert outcomes[name] in {"PermissionError", "OSError"}, outcomes[name]


@pytest.mark.parametrize("name", CALLS)
def test_cannot_call(attempted, name):
    report, outcomes, _ = attempted
    full(report)
    result, number = outcomes[name]
    assert (result, number) == (-1, 38 if name == "clone3" else 1)


ORDINARY = {
    "write scratch": "open(scratch + '/x', 'w').write('1'); os.rename(scratch + '/x', scratch + '/y')",
    "make folders": "os.makedirs(scratch + '/a/b'); shutil.rmtree(scratch + '/a')",
    "temporary file": "tempfile.NamedTemporaryFile().write(b'1')",
    "copy a file": "shutil.copy2(json.__file__, scratch + '/copy.py')",
    "discard": "open('/dev/null', 'w').write('x')",
    "random": "os.urandom(8); open('/dev/urandom', 'rb').read(1)",
    "read itself": "answer = len(open('/proc/self/status').read()) > 0",
    "processors": "answer = os.cpu_count() > 0; open('/proc/cpuinfo').read()",
    "threads": "t = threading.Thread(target=list); t.start(); t.join()",
    "fork": "pid = os.fork(); os._exit(0) if pid == 0 else os.waitpid(pid, 0)",
    "signal its own child": "pid = os.fork(); time.sleep(9) if pid == 0 else (os.kill(pid, 9), os.waitpid(pid, 0))",
    "signal itself": "signal.signal(signal.SIGUSR1, lambda *_: None); os.kill(os.getpid(), signal.SIGUSR1)",
    "event loop": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "shared memory": "os.ftruncate(os.memfd_create('x'), 100)",
    "late import": "import sqlite3, ssl, hashlib, mimetypes; mimetypes.guess_type('x.png')",
    "time zone": "time.tzset(); time.localtime()",
    "no capability": "answer = [l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')]",
    "no privileges": "answer = 'NoNewPrivs:\\t1' in open('/proc/self/status').read()",
}


def test_ordinary_work_goes_on(tmp_path):
    _, outcomes, status = inside(ORDINARY, tmp_path)
    assert status == 0
    assert set(outcomes.pop("no capability")) == {"0000000000000000"}
    assert all(outcome in {"done", True} for outcome in outcomes.values()), outcomes


SEMAPHORES = {
    "lock": "import multiprocessing; multiprocessing.Lock().acquire()",
    "pool": "from multiprocessing.pool import ThreadPool; answer = ThreadPool(2).map(abs, [-1, -2])",
    "private": "answer = os.listdir('/dev/shm')",
}


def test_semaphores_work_in_shared_memory_of_its_own(tmp_path):
    before = "open('/dev/shm/inferry-test-secret', 'w').close()"
    meanwhile = "time.sleep(1); os.unlink('/dev/shm/inferry-test-secret')"
    report, outcomes, _ = inside(SEMAPHORES, tmp_path, before=before, meanwhile=meanwhile)
    if "shared memory" not in report["namespaces"]:
        pytest.skip(f"this host allows no mount: {report['namespaces']}")
    assert outcomes == {"lock": "done", "pool": [1, 2], "private": []}


def test_changing_a_mode_does_nothing_and_says_nothing(tmp_path):
    outside = tmp_path / "secret"
    outside.write_text("x")
    outside.chmod(0o600)
    report, outcomes, _ = inside({"chmod": f"os.chmod({str(outside)!r}, 0o777)"}, tmp_path)
    full(report)
    assert outcomes == {"chmod": "done"}
    assert outside.stat().st_mode & 0o777 == 0o600


def test_a_signal_to_its_group_reaches_only_itself(tmp_path):
    before = "heard = []; signal.signal(signal.SIGUSR1, lambda *_: heard.append(os.getpid()))"
    attempts = {"signal": "os.kill(0, signal.SIGUSR1); time.sleep(0.2); answer = heard == [os.getpid()]"}
    meanwhile = "time.sleep(0.5); assert heard == [], heard"
    report, outcomes, _ = inside(attempts, tmp_path, before=before, meanwhile=meanwhile)
    full(report)
    assert outcomes == {"signal": True}


SERVE = {
    "serve": "c, _ = listener.accept(); answer = c.recv(5).decode(); c.sendall(b'world'); c.close()",
    "pair": "answer = left.recv(5).decode()",
}


def test_sockets_opened_before_go_on_working(tmp_path):
    before = f"""
path = {str(tmp_path / "replica.sock")!r}
listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen()
left, right = socket.socketpair()
"""
    meanwhile = """
client = socket.socket(socket.AF_UNIX); client.connect(path); client.sendall(b'hello')
heard = client.recv(5); right.sendall(heard)
"""
    _, outcomes, _ = inside(SERVE, tmp_path, before=before, meanwhile=meanwhile)
    assert outcomes == {"serve": "hello", "pair": "world"}


LOOP = {
    "to itself": (
        "server = socket.create_server(('127.0.0.1', 0)); client = socket.create_connection(server.getsockname());"
        "other, _ = server.accept(); client.sendall(b'hello'); answer = other.recv(5).decode()"
    ),
    "by a socket in its folder": (
        "os.chdir(scratch); server = socket.socket(socket.AF_UNIX); server.bind('own.sock'); server.listen();"
        "client = socket.socket(socket.AF_UNIX); client.connect('own.sock'); answer = 'connected'"
    ),
    "to the host": "socket.create_connection(('127.0.0.1', port), timeout=2)",
    "outside": "socket.create_connection(('192.0.2.1', 80), timeout=2)",
}


def test_a_loopback_of_its_own_leads_to_itself_only(tmp_path):
    before = "listener = socket.create_server(('127.0.0.1', 0)); port = listener.getsockname()[1]"
    report, outcomes, _ = inside(LOOP, tmp_path, before=before, loopback=True)
    if "network" not in report["namespaces"]:
        pytest.skip("the host refuses network namespaces")
    assert (outcomes["to itself"], outcomes["by a socket in its folder"]) == ("hello", "connected")
    assert outcomes["to the host"] == "ConnectionRefusedError"
    assert outcomes["outside"] == "OSError"


def test_memory_is_limited_by_a_memory_error(tmp_path):
    limit = 400 << 20
    attempts = {"large": f"bytearray({limit})", "small": "bytearray(1 << 20)"}
    _, outcomes, status = inside(attempts, tmp_path, memory_bytes=limit)
    assert (outcomes, status) == ({"large": "MemoryError", "small": "done"}, 0)


def test_processor_time_is_limited_by_a_signal(tmp_path):
    _, outcomes, status = inside({"spin": "while True: pass"}, tmp_path, cpu_seconds=1)
    assert outcomes is None
    assert os.WTERMSIG(status) == 24  # SIGXCPU


def test_files_and_their_size_are_limited(tmp_path):
    attempts = {
        "many": "kept = [open('/dev/null') for _ in range(100)]",
        "large": "with open(scratch + '/big', 'wb', buffering=0) as f: f.write(b'x' * 4096); f.write(b'x')",
    }
    _, outcomes, _ = inside(attempts, tmp_path, files=32, file_bytes=4096)
    assert outcomes == {"many": "OSError", "large": "OSError"}


def test_programs_run_when_the_policy_says_so(tmp_path):
    _, outcomes, _ = inside({"run": "answer = subprocess.run(['/bin/true']).returncode"}, tmp_path, exec=True)
    assert outcomes == {"run": 0}


def test_the_network_is_there_when_the_policy_says_so(tmp_path):
    before = "server = socket.create_server(('127.0.0.1', 0)); port = server.getsockname()[1]"
    attempts = {"connect": "socket.create_connection(('127.0.0.1', port), 5).close()"}
    _, outcomes, _ = inside(attempts, tmp_path, before=before, network=True)
    assert outcomes == {"connect": "done"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_without_root_the_same_holds():
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # the usual place may lie in a private folder
        open_to_all = Path(name)
        open_to_all.chmod(0o755)
        _check_without_root(open_to_all)


def _check_without_root(tmp_path):
    names = ("list the root", "read the parent's environment", "send over UDP", "run a program")
    attempts = {name: FORBIDDEN[name] for name in names}
    attempts["write scratch"] = "open(scratch + '/x', 'w').write('1')"
    attempts["user"] = "answer = os.getuid()"
    attempts["fork bomb"] = "kept = [os.fork() or time.sleep(1) or os._exit(0) for _ in range(50)]"
    report, outcomes, _ = inside(attempts, tmp_path, user=65534, processes=20)
    assert report["namespaces"].startswith(("on: own IPC, host name, network, users", "absent"))
    assert outcomes.pop("user") == 65534
    assert outcomes.pop("write scratch") == "done"
    assert outcomes.pop("fork bomb") == "BlockingIOError"
    assert set(outcomes.values()) <= {"PermissionError", "OSError"}, outcomes


LIBRARIES = {
    "numpy": "import numpy as np; a = np.random.default_rng(0).random((200, 200)); answer = (a @ a).shape[0]",
    "pandas": "import pandas as pd; answer = int(pd.DataFrame({'a': [1, 2], 'b': [3, 3]}).groupby('b').sum().a.sum())",
    "sklearn": """
from sklearn.ensemble import RandomForestClassifier
import numpy as np
x = np.arange(40.0).reshape(-1, 2); y = (x[:, 0] > 20).astype(int)
answer = len(RandomForestClassifier(5, n_jobs=2, random_state=0).fit(x, y).predict(x))
""",
    "onnxruntime": """
import numpy as np, onnxruntime
from onnx import TensorProto, helper
x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in 'xy')
graph = helper.make_graph([helper.make_node('Add', ['x', 'x'], ['y'])], 'g', [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
answer = float(session.run(None, {'x': np.ones((1, 2), np.float32)})[0].sum())
""",
}


@pytest.mark.slow
def test_numeric_libraries_load_and_answer_inside(tmp_path):
    _, outcomes, status = inside(LIBRARIES, tmp_path, memory_bytes=4 << 30, files=256)
    assert (outcomes, status) == ({"numpy": 200, "pandas": 3, "sklearn": 20, "onnxruntime": 4.0}, 0)


@pytest.mark.slow
def test_libraries_loaded_before_the_fork_answer_inside(tmp_path):
    before = "import numpy, pandas, onnxruntime, sklearn.ensemble; numpy.ones((300, 300)) @ numpy.ones((300, 300))"
    _, outcomes, status = inside(LIBRARIES, tmp_path, before=before, memory_bytes=4 << 30, files=256)
    assert (outcomes, status) == ({"numpy": 200, "pandas": 3, "sklearn": 20, "onnxruntime": 4.0}, 0)


def test_the_probe_reports_each_layer_and_leaves_this_process_free(tmp_path):
    features = probe()
    assert [feature.name for feature in features] == list(LAYERS)
    assert next(feature for feature in features if feature.name == "no_new_privs").available
    (tmp_path / "still-free").write_text("")
    assert subprocess.run(["/bin/true"], check=False).returncode == 0


def test_a_clean_environment_holds_no_secret():
    given = {"INFERRY_API_KEY": "inf_x", "AWS_SECRET_ACCESS_KEY": "x", "OPENBLAS_CORETYPE": "Haswell", "PATH": "/evil"}
    made = clean_environment(given, "/scratch")
    assert made["HOME"] == made["TMPDIR"] == "/scratch"
    assert made["OMP_NUM_THREADS"] == "1"
    assert made["OPENBLAS_CORETYPE"] == "Haswell"
    assert not {"INFERRY_API_KEY", "AWS_SECRET_ACCESS_KEY"} & set(made)
    assert "/evil" not in made["PATH"]
    assert "OPENBLAS_L2_SIZE" not in made


def test_default_paths_are_there_and_hold_no_private_place():
    paths = default_read_paths(("/opt/python",))
    assert "/opt/python" in paths
    assert not {"/", "/etc", "/root", "/home", "/proc", "/tmp", "/var"} & set(paths)
    assert "/etc/resolv.conf" not in paths


def test_the_sandbox_needs_only_the_standard_library():
    code = "import sys, inferry.security.sandbox; print({m.split('.')[0] for m in sys.modules} & {'msgspec', 'numpy'})"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": SOURCE}, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_policy_gives_nothing_by_default():
    policy = SandboxPolicy()
    assert (policy.read, policy.write, policy.network, policy.exec) == ((), (), False, False)
