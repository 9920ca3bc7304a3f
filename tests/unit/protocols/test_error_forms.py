"""Each door tells an error in its own form."""

from __future__ import annotations

import json
import subprocess
import sys

from inferry.errors import DeadlineExceeded, InvalidInput, ModelFailed, NotFound, Overloaded, TooLarge
from inferry.protocols.forms import mlflow_error, oip_error, plain_error, tfs_error


def test_oip_error_is_one_sentence() -> None:
    assert json.loads(oip_error(InvalidInput("No.", help="Do this."))) == {"error": "No. Do this."}
    assert json.loads(oip_error(Overloaded("No."))) == {"error": "No."}


def test_an_error_without_a_help_of_its_own_gives_the_advice_of_its_kind() -> None:
    assert InvalidInput("No.").help == InvalidInput.advice
    assert InvalidInput("No.", help="Do this.").help == "Do this."


def test_plain_error_has_code_message_and_help() -> None:
    assert json.loads(plain_error(InvalidInput("No.", help="Do this."))) == {
        "error": {"code": "invalid_input", "message": "No.", "help": "Do this."}
    }
    assert json.loads(plain_error(Overloaded("Full."))) == {"error": {"code": "overloaded", "message": "Full."}}


def test_tfs_error_has_tensorflows_words_for_what_is_not_served() -> None:
    gone = NotFound("There is no endpoint 'x'.", help="List them.", endpoint="x")
    assert json.loads(tfs_error(gone)) == {"error": "Servable not found for request: Latest(x). List them."}
    other = NotFound("No version '9'.", help="It serves version 1.", endpoint="x", version="9")
    assert json.loads(tfs_error(other)) == {
        "error": "Servable not found for request: Specific(x, 9). It serves version 1."
    }
    assert json.loads(tfs_error(InvalidInput("No.", help="Do this."))) == {"error": "No. Do this."}
    assert json.loads(oip_error(gone)) == {"error": "There is no endpoint 'x'. List them."}


def test_mlflow_error_has_mlflows_codes() -> None:
    for error, code in (
        (InvalidInput("No.", help="Do."), "INVALID_PARAMETER_VALUE"),
        (NotFound("No.", help="Do."), "ENDPOINT_NOT_FOUND"),
        (TooLarge("No.", help="Do."), "BAD_REQUEST"),
        (ModelFailed("No.", help="Do."), "INTERNAL_ERROR"),
        (DeadlineExceeded("No.", help="Do."), "DEADLINE_EXCEEDED"),
    ):
        assert json.loads(mlflow_error(error)) == {"error_code": code, "message": "No. Do."}
    assert json.loads(mlflow_error(InvalidInput("No."), "BAD_REQUEST"))["error_code"] == "BAD_REQUEST"


def test_what_the_gateway_uses_loads_no_numpy() -> None:
    code = (
        "import sys, inferry.protocols.forms, inferry.protocols.metadata, inferry.protocols.openapi, "
        "inferry.protocols.pages; sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
