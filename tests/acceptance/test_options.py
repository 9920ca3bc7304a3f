"""Options of engines at the doors of a real platform: what a runtime does not have is refused before anything is built."""

import pytest

import inferry
from inferry.errors import InvalidInput
from tests.support import models

CODE = "class Model:\n    def predict(self, inputs):\n        return inputs\n"


def test_an_option_that_a_runtime_does_not_have_is_refused_and_leaves_nothing(platform, tmp_path):
    model = models.python_file(tmp_path / "models", "plain", CODE)
    refused = platform.run("deploy", str(model), "--name", "optioned", "--option", "slots=2")
    assert refused.returncode == 1
    assert "The runtime python has no option 'slots'.\nhelp: It has none: leave --option out." in refused.stderr
    assert platform.run("deploy", str(model), "--name", "optioned", "--option", "slots").returncode == 2
    client = inferry.connect(platform.control, platform.key)
    with client, pytest.raises(InvalidInput, match="has no option 'depth'"):
        client.deploy(model, "optioned", options={"depth": 3})
    assert platform.call("GET", "/v1/endpoints/optioned", control=True).status_code == 404
    told = platform.call("POST", "/v1/endpoints/optioned/deploy?option=x", control=True)
    assert (told.status_code, "is not an option with its value" in told.text) == (400, True)
