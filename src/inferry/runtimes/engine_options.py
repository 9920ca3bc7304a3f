"""What the engines of language models may be told, declared where no engine need be imported."""

from __future__ import annotations

from inferry.types.options import Option

CONTEXT = Option(
    name="context", about="how many tokens a request may have with its answer", kind="integer", low=64, high=1 << 24
)
SHARED = Option(
    name="context", about="how many tokens all requests share with their answers", kind="integer", low=64, high=1 << 24
)
SLOTS = Option(name="slots", about="how many requests are answered at a time", kind="integer", low=1, high=64)
MANY_SLOTS = Option(name="slots", about="how many requests are answered at a time", kind="integer", low=1, high=512)
BATCH = Option(
    name="batch",
    about="how many of them share a call of the model (1: they take turns)",
    kind="integer",
    low=1,
    high=64,
)
TEMPLATE = Option(
    name="chat_template", about="the Jinja template that writes messages out, in place of the model's own"
)

ENGINE = Option(
    name="engine", about="what answers (auto: vLLM where there is a GPU and it can be installed)",
    choices=("auto", "transformers", "vllm"),
)  # fmt: skip
DTYPE = Option(name="dtype", about="the numbers it computes with", choices=("auto", "bfloat16", "float16", "float32"))
GPU_SHARE = Option(
    name="gpu_memory_share", about="how much of its GPUs' memory it takes", kind="number", low=0.05, high=0.99
)

LLAMA_CPP = (SHARED, SLOTS, TEMPLATE)
LLAMA_CPP_EMBEDDINGS = (CONTEXT, SLOTS)
TRANSFORMERS = (CONTEXT, SLOTS, BATCH, TEMPLATE, ENGINE)
VLLM = (CONTEXT, MANY_SLOTS, TEMPLATE, ENGINE, DTYPE, GPU_SHARE)
