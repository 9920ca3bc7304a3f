"""LitServe: a LitAPI with its five steps; batching is two arguments and `batch`/`unbatch`."""

import os
import sys

import litserve as ls
import numpy as np
from session import BATCH, SHAPE, open_session


class Model(ls.LitAPI):
    """JSON rows."""

    def setup(self, device):  # noqa: ARG002
        self.session = open_session()

    def decode_request(self, request):
        return np.array(request["inputs"], dtype=np.float32)

    def batch(self, inputs):
        return np.concatenate(inputs)

    def predict(self, x):
        return self.session.run(None, {"x": x})[-1]

    def unbatch(self, output):
        return [row[None] for row in output]

    def encode_response(self, output):
        return {"predictions": output.tolist()}


class Image(Model):
    """The same with an uploaded file."""

    def decode_request(self, request):
        return np.frombuffer(request["file"].file.read(), dtype=np.float32).reshape(1, *SHAPE)


if __name__ == "__main__":
    kind = Image if os.environ.get("BENCH_BINARY") else Model
    api = kind(max_batch_size=BATCH, batch_timeout=0.002) if BATCH > 1 else kind()
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
