"""Onlooker: one look at a repository, in a process of its own that ends with us.

Data flow: Order -> its standard input, which stays open -> Looked from its standard output. What it prints besides is
in the log of control. Without an answer within LOOK_S it is ended, with all that it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

import msgspec

from inferry.errors import Unavailable
from inferry.types.repository import Looked, Order

LOOK_S = 3 * 3600.0
MAX_ANSWER = 4 << 20

_LOOKED = msgspec.json.Decoder(Looked)


class Onlooker:
    """Starts `command` for each look."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self._command = command
        self._variables = dict(variables)

    async def look(self, order: Order) -> Looked:
        """What came of it. Raises Unavailable when it ended without an answer."""
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=self._variables,
            start_new_session=True, limit=MAX_ANSWER,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            async with asyncio.timeout(LOOK_S):
                await process.stdin.drain()
                said = await process.stdout.read()
                await process.wait()
            return _LOOKED.decode(said)
        except (TimeoutError, OSError, msgspec.DecodeError) as error:
            raise Unavailable("Looking at the repository broke off.", help="See logs/control.out.") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.stdin.close()
            await process.wait()
