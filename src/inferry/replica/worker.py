"""Worker: a thread in which a model computes while the replica's own thread reads, decodes and writes.

Data flow: `start(inputs)` -> the thread calls the model, which lets go of Python's lock while it
computes -> `descriptor` becomes readable -> `result()`. One call at a time; several workers share a model.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

SWITCH_S = 0.001  # how long the thread may wait for Python's lock when its computation has ended


class Worker:
    """Runs one call after the other."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call
        self._inputs: Any = None
        self._outputs: Any = None
        self._error: BaseException | None = None
        self._wanted = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def start(self, inputs: Any) -> None:
        """Begin a call."""
        if self._thread is None:
            sys.setswitchinterval(SWITCH_S)
            self._thread = threading.Thread(target=self._run, name="model", daemon=True)
            self._thread.start()
        self._inputs = inputs
        self._wanted.release()

    def result(self) -> Any:
        """What the call that ended returned; raises what it raised."""
        os.eventfd_read(self.descriptor)
        outputs, error = self._outputs, self._error
        self._inputs = self._outputs = self._error = None
        if error is not None:
            raise error
        return outputs

    def _run(self) -> None:
        while True:
            self._wanted.acquire()
            try:
                self._outputs = self._call(self._inputs)
            except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
                self._error = error
            os.eventfd_write(self.descriptor, 1)
