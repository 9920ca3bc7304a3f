"""MLServer: a custom runtime; adaptive batching is two fields of model-settings.json."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from session import open_session


class Model(MLModel):
    """Loaded in MLServer's worker process, as by default."""

    async def load(self) -> bool:
        self.session = open_session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0])
        y = self.session.run(None, {"x": x})[-1]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
