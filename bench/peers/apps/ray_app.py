"""Ray Serve: one replica behind the HTTP proxy; batching is a decorator."""

import signal
import sys

import numpy as np
import ray
from ray import serve
from session import BATCH, SHAPE, open_session
from starlette.requests import Request

QUIET = {"enable_access_log": False}


@serve.deployment(num_replicas=1, max_ongoing_requests=100, logging_config=QUIET)
class Model:
    """JSON rows at /, float32 bytes when the request says so."""

    def __init__(self):
        self.session = open_session()

    def run(self, x):
        return self.session.run(None, {"x": x})[-1]

    @serve.batch(max_batch_size=max(BATCH, 1), batch_wait_timeout_s=0.002)
    async def run_batch(self, inputs):
        outputs = self.run(np.concatenate(inputs))
        return np.split(outputs, np.cumsum([len(one) for one in inputs])[:-1])

    async def __call__(self, request: Request):
        if request.headers["content-type"] == "application/octet-stream":
            x = np.frombuffer(await request.body(), dtype=np.float32).reshape(-1, *SHAPE)
        else:
            x = np.array((await request.json())["inputs"], dtype=np.float32)
        y = await self.run_batch(x) if BATCH > 1 else self.run(x)
        return {"predictions": y.tolist()}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])}, logging_config=QUIET)
    serve.run(Model.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
