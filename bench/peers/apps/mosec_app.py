"""Mosec: JSON rows in and out, or (BENCH_BINARY) float32 bytes; `forward` is given a list when it batches."""

import os

import numpy as np
from mosec import Server, Worker
from session import BATCH, SHAPE, open_session


class Model(Worker):
    """JSON by Mosec's own (de)serialisation."""

    def __init__(self):
        super().__init__()
        self.session = open_session()

    def run(self, x):
        return self.session.run(None, {"x": x})[-1]

    def forward(self, data):
        if BATCH == 1:
            return {"predictions": self.run(np.array(data["inputs"], dtype=np.float32)).tolist()}
        rows = [np.array(one["inputs"], dtype=np.float32) for one in data]
        outputs = np.split(self.run(np.concatenate(rows)), np.cumsum([len(one) for one in rows])[:-1])
        return [{"predictions": output.tolist()} for output in outputs]


class Binary(Model):
    """Bytes of float32 in and out."""

    resp_mime_type = "application/octet-stream"

    def deserialize(self, data):
        return np.frombuffer(data, dtype=np.float32).reshape(-1, *SHAPE)

    def serialize(self, data):
        return data.tobytes()

    def forward(self, data):
        if BATCH == 1:
            return self.run(data)
        return np.split(self.run(np.concatenate(data)), np.cumsum([len(one) for one in data])[:-1])


if __name__ == "__main__":
    server = Server()
    worker = Binary if os.environ.get("BENCH_BINARY") else Model
    server.append_worker(worker, num=1, max_batch_size=BATCH, max_wait_time=2 if BATCH > 1 else 0)
    server.run()
