# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy", "gguf"]
# ///
"""A small BERT written as GGUF, as llama.cpp's own converter would, and what transformers makes of texts: the mean of
the tokens, of length 1. How many tokens each text has is in tokens.json."""

import json
from pathlib import Path

import gguf
import torch
from hf_shared import CORPUS, bert_tokenizer, small, told
from transformers import BertConfig, BertModel

tokenizer = bert_tokenizer()
torch.set_num_threads(1)
config = BertConfig(**small(hidden_size=64))
model = BertModel(config).eval()
vocabulary = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
special = set(tokenizer.all_special_tokens)


def written(token: str) -> str:
    """A word piece as llama.cpp keeps it: words begin with a mark, and pieces that go on have none."""
    return token if token in special else token[2:] if token.startswith("##") else "\u2581" + token


out = gguf.GGUFWriter("artifact.gguf", "bert")
out.add_name("small-bert")
out.add_context_length(config.max_position_embeddings)
out.add_embedding_length(config.hidden_size)
out.add_feed_forward_length(config.intermediate_size)
out.add_block_count(config.num_hidden_layers)
out.add_head_count(config.num_attention_heads)
out.add_layer_norm_eps(config.layer_norm_eps)
out.add_causal_attention(False)
out.add_pooling_type(gguf.PoolingType.MEAN)
out.add_vocab_size(config.vocab_size)
out.add_tokenizer_model("bert")
out.add_tokenizer_pre("default")
out.add_token_type_count(2)
vocabulary += [f"[unused{at}]" for at in range(config.vocab_size - len(vocabulary))]
out.add_token_list([written(token) for token in vocabulary])
kinds = (gguf.TokenType.NORMAL, gguf.TokenType.CONTROL)
out.add_token_types([kinds[token in special] for token in vocabulary])
out.add_bos_token_id(tokenizer.cls_token_id)
out.add_eos_token_id(tokenizer.sep_token_id)
out.add_sep_token_id(tokenizer.sep_token_id)
out.add_unk_token_id(tokenizer.unk_token_id)
out.add_pad_token_id(tokenizer.pad_token_id)
out.add_mask_token_id(tokenizer.mask_token_id)
names = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
for name, tensor in model.state_dict().items():
    place, _, kind = name.rpartition(".")
    block, inner = "", place
    if place.startswith("encoder.layer."):
        _, _, at, inner = place.split(".", 3)
        block = f"blk.{at}."
    if inner in names:
        out.add_tensor(f"{block}{names[inner]}.{kind}", tensor.float().numpy())
out.write_header_to_file()
out.write_kv_data_to_file()
out.write_tensors_to_file()
out.close()

texts = [text.lower() for text in (*CORPUS, "Berlin", "good " * 20)]  # llama.cpp reads no capitals
rows, sizes = [], []
for text in texts:
    made = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        mean = model(**made).last_hidden_state[0].mean(0)
    rows.append((mean / mean.norm()).tolist())
    sizes.append(made["input_ids"].shape[1])
told({"text": texts}, {"embedding": torch.tensor(rows).numpy()})
Path("tokens.json").write_text(json.dumps(sizes))
