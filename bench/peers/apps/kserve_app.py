"""KServe's own server with a custom model that speaks the Open Inference Protocol."""

import logging
import sys

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid
from session import open_session


class Onnx(Model):
    """Answers in binary when the request was."""

    def __init__(self, name: str):
        super().__init__(name)
        self.session = open_session()
        self.ready = True

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:  # noqa: ARG002
        binary = payload.use_binary_outputs
        y = self.session.run(None, {"x": payload.inputs[0].as_numpy()})[-1]
        output = InferOutput(name="y", shape=list(y.shape), datatype="FP32")
        output.set_data_from_numpy(y, binary_data=binary)
        return InferResponse(payload.id or generate_uuid(), self.name, [output], use_binary_outputs=binary)


if __name__ == "__main__":
    server = ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1, enable_latency_logging=False)
    for name in ("uvicorn.access", "kserve.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server.start([Onnx("m")])
