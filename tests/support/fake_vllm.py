"""A stand-in for vLLM at the process boundary: a wheel whose command `vllm serve` is a real OpenAI server on a socket.

`write(folder)` leaves the wheel there; put the folder on PIP_FIND_LINKS, and its version is the newest there is. How it
behaves is said by the file fake_vllm.json in the model's folder:
    slow_s: how long it takes until it is healthy        crash: it ends instead, with these words
And by the last message or the prompt:
    "die": it ends in the middle of its answer            "wait": it never says anything
    "long": 200 words, one each 50 ms                     "refuse": it answers 400
    anything else: "echo: " and the text, a chunk for each word
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

VERSION = "99.0"
MODULE = """
import argparse, json, os, socketserver, sys, time
from http.server import BaseHTTPRequestHandler
from pathlib import Path


def log(*words):
    print("fake vllm:", *words, flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "socket"

    def do_GET(self):
        self.whole(200 if self.path == "/health" else 404, {})

    def whole(self, status, said):
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, said):
        data = b"data: " + (said if isinstance(said, bytes) else json.dumps(said).encode()) + b"\\n\\n"
        self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(data), data))
        self.wfile.flush()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        log("asked", self.path, json.dumps(body, sort_keys=True))
        chat = self.path == "/v1/chat/completions"
        text = body["messages"][-1]["content"] if chat else body["prompt"]
        if text == "refuse":
            problem = {"message": "max_tokens is too large", "type": "BadRequestError", "param": None, "code": 400}
            return self.whole(400, {"error": problem})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        head = {"id": "chatcmpl-1", "created": 1, "model": "model"}
        head["object"] = "chat.completion.chunk" if chat else "text_completion"
        try:
            if text == "wait":
                while not self.gone():
                    time.sleep(0.05)
                log("left while it waited")
                return
            words = ["word"] * 200 if text == "long" else ["echo:", *text.split()]
            if chat:
                self.chunk(head | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
            for at, word in enumerate(words):
                if text == "die" and at:
                    log("dying")
                    os._exit(3)
                said = {"delta": {"content": word + " "}} if chat else {"text": word + " "}
                self.chunk(head | {"choices": [{"index": 0, **said}]})
                if text == "long":
                    time.sleep(0.05)
            said = {"delta": {}} if chat else {"text": ""}
            self.chunk(head | {"choices": [{"index": 0, "finish_reason": "stop", **said}]})
            usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(words), "total_tokens": 0}
            usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
            self.chunk(head | {"choices": [], "usage": usage})
            self.chunk(b"[DONE]")
            self.wfile.write(b"0\\r\\n\\r\\n")
        except OSError:
            log("left at", text)

    def gone(self):
        import select
        return bool(select.select([self.connection], [], [], 0)[0])


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def main():
    words = argparse.ArgumentParser()
    words.add_argument("verb")
    words.add_argument("folder")
    for name in ("uds", "served-model-name", "max-num-seqs", "tensor-parallel-size", "max-model-len", "dtype"):
        words.add_argument("--" + name)
    words.add_argument("--chat-template")
    words.add_argument("--gpu-memory-utilization")
    told = words.parse_args()
    log("told", json.dumps(vars(told), sort_keys=True), "sees", os.environ.get("CUDA_VISIBLE_DEVICES"))
    if told.chat_template:
        log("template", Path(told.chat_template).read_text())
    how = json.loads((Path(told.folder) / "fake_vllm.json").read_text())
    time.sleep(how.get("slow_s", 0))
    if how.get("crash"):
        sys.exit(how["crash"])
    if os.fork() == 0:  # an engine of its own, as vLLM has
        log("engine", os.getpid())
        time.sleep(3600)
        os._exit(0)
    Server(told.uds, Handler).serve_forever()
"""


def write(folder: Path) -> Path:
    """A folder with the wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"vllm-{VERSION}.dist-info"
    files = {
        "vllm_stand_in.py": MODULE,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nvllm = vllm_stand_in:main\n",
    }
    record = []
    with zipfile.ZipFile(folder / f"vllm-{VERSION}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(text.encode())}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return folder
