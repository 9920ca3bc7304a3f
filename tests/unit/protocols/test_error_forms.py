"""Each door tells an error in its own form."""

from __future__ import annotations

import json
import subprocess
import sys

from inferry.errors import InvalidInput, Overloaded
from inferry.protocols.forms import oip_error, plain_error


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


def test_what_the_gateway_uses_loads_no_numpy() -> None:
    code = (
        "import sys, inferry.protocols.forms, inferry.protocols.metadata, inferry.protocols.openapi, "
        "inferry.protocols.pages; sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
