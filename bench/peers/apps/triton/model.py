"""Triton's Python backend: one call is given all requests that the server has put together."""

import numpy as np
import triton_python_backend_utils as pb_utils
from session import open_session


class TritonPythonModel:
    """The class that Triton looks for."""

    def initialize(self, args):  # noqa: ARG002
        self.session = open_session()

    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        x = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        y = self.session.run(None, {"x": x})[-1]
        ends = np.cumsum([len(one) for one in inputs])[:-1]
        return [
            pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("y", part)])
            for part in ([y] if len(inputs) == 1 else np.split(y, ends))
        ]
