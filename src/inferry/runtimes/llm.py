"""Language models in GGUF files, through llama.cpp's own server in this process.

    "text"                        the model's text, to a lone message (or as the text goes on, without a chat template)
    {"messages": [...], ...}      OpenAI's chat completions: the body in, the answer or its chunks out
    {"prompt": "...", ...}        OpenAI's completions

Data flow: one `respond` a slot, each blocking in a thread of its own -> the engine's batch, which all slots
share -> chunks as they are made -> handed on, or gathered into one answer. The engine is always asked for
chunks, since one that is asked for the whole cannot be stopped. Weights are mapped, so copies of a model share them.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec

from inferry.errors import InvalidInput, InvalidModel
from inferry.runtimes.chunks import text_of
from inferry.runtimes.llm_embeddings import EMBEDDING, EmbeddingModel
from inferry.runtimes.speaking import EXAMPLE_TOKENS, HINT, TASK, Call, Speaker, example_of
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Signature, as_example
from inferry.types.text import first_line

SLOTS = 4
CONTEXT = 8192  # tokens that all slots have together, however much more the model was trained for
SOCKET = "engine.sock"
MODEL_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LlmRuntime:
    """The runtime plugin "llm"."""

    imports: ClassVar[tuple[str, ...]] = ("xllamacpp",)
    borrows: ClassVar[bool] = False
    computes_beside: ClassVar[bool] = False

    def load(
        self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None
    ) -> LlmModel | EmbeddingModel:
        """Start the engine. Options: `trained` (the context) and `chats` as the header says, `threads` to compute
        with, and those of engine_options."""
        started = time.perf_counter()
        trained = int(options.get("trained") or 0)
        context = int(options.get("context") or (min(trained, CONTEXT) if trained else CONTEXT))
        if trained and context > trained:
            raise InvalidModel(
                f"A context of {context} tokens is more than the {trained} that the model was trained for.",
                help="Deploy it with a smaller option context.",
            )
        told = Told(
            path=(artifact / entry).resolve(), context=context, slots=int(options.get("slots") or SLOTS),
            threads=int(options.get("threads") or 1), template=str(options.get("chat_template") or ""),
            embeds=options.get("task") == EMBEDDING,
        )  # fmt: skip
        try:
            server = _start(told)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise InvalidModel(
                "llama.cpp cannot load the GGUF file.", help="Is its architecture newer than the engine? See the log."
            ) from error
        load_ms = (time.perf_counter() - started) * 1000
        if told.embeds:
            return EmbeddingModel(server, context, told.slots, signature, load_ms)
        chats = bool(options.get("chats", True)) or bool(told.template)
        model = LlmModel(server, context, told.slots, chats=chats)
        model.load_ms = load_ms
        return model


class Told(NamedTuple):
    """What the engine is told when it starts."""

    path: Path
    context: int
    slots: int
    threads: int
    template: str
    embeds: bool


def _start(told: Told) -> Any:
    """llama.cpp's server. It listens on a socket whose name is taken away at once, so nobody can speak to it."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(told.path)
    params.hostnames = [SOCKET]
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = params.fit_params = params.warmup = False
    params.n_parallel, params.n_ctx, params.kv_unified = told.slots, told.context, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told.threads
    if told.embeds:  # each text is read at once, in a context of its own
        params.embedding, params.kv_unified = True, False
        params.n_ctx, params.n_batch, params.n_ubatch = told.context * told.slots, told.context, told.context
    if told.template:
        params.chat_template = told.template
    params.cache_ram_mib = 0
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP
    params.verbosity = -1
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _own_signals():
        return xllamacpp.Server(params)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """The engine takes signals for itself: give them back."""
    main = threading.current_thread() is threading.main_thread()
    kept = {number: signal.getsignal(number) for number in MODEL_SIGNALS}
    try:
        yield
    finally:
        for number, handler in kept.items() if main else ():
            signal.signal(number, handler)


class LlmModel(Speaker):
    """llama.cpp's server, and how it is asked."""

    def __init__(self, server: Any, context: int, slots: int, *, chats: bool) -> None:
        super().__init__(chats=chats)
        self.slots = slots
        self._server = server
        self._context = context
        self.load_ms = 0.0

    def ask(self, body: dict[str, Any], call: Call) -> None:
        """Let the engine answer, chunk by chunk."""
        ask = self._server.handle_chat_completions if "messages" in body else self._server.handle_completions
        try:
            ask(msgspec.json.encode(body), call.take)
        except ValueError as error:  # the engine's word for a body that it cannot read
            raise InvalidInput(first_line(str(error), 400), help=HINT) from error

    def describe(self, sample: Sample | None) -> Inspection:
        """Any JSON in and out; the example is the sample's text or body, or a question of ours."""
        given = example_of(sample)
        asked = given if isinstance(given, dict) else self.body(str(given)) | {"max_tokens": EXAMPLE_TOKENS}
        started = time.perf_counter()
        answer = self.predict({"max_tokens": EXAMPLE_TOKENS, **asked})
        return Inspection(
            signature=Signature(kind="open"),
            example=as_example({"inputs": given}),
            answer=answer if isinstance(given, dict) else text_of(answer),
            task=TASK,
            details={"context": self._context, "slots": self.slots, "chats": self._chats},
            load_ms=self.load_ms,
            predict_ms=(time.perf_counter() - started) * 1000,
        )
