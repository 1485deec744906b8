"""Run by a Python with transformers 4, which has nothing of ours: opens folders and says what it computes.

    python old_reader.py ASKED FOLDER…    one line of JSON: folder -> last logits, text ids, chat ids, class, end token

A folder of the type `kormo` is read as the authors' classes do: RoPE's base from `rope_theta`, two norms of a layer
under other names; the mathematics is Llama's.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

NAMES = {"pre_attention_layernorm": "input_layernorm", "pre_mlp_layernorm": "post_attention_layernorm"}
TURNS = [{"role": "user", "content": "안녕하세요!"}]


def opened(folder):
    fields = json.loads((folder / "config.json").read_text())
    if fields["model_type"] == "llama":
        return LlamaForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
    kept = {key: fields[key] for key in fields if key not in ("model_type", "architectures", "rope_parameters")}
    model = LlamaForCausalLM(LlamaConfig(**kept))
    weights = load_file(folder / "model.safetensors")
    for ours, theirs in NAMES.items():
        weights = {name.replace(ours, theirs): weight.float() for name, weight in weights.items()}
    model.load_state_dict(weights)
    return model.float()


def told(folder, ids, texts):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = opened(folder).eval()(input_ids=torch.tensor([ids]), use_cache=False).logits
    chat = tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, enable_thinking=False)
    return {
        "class": type(tokenizer).__name__,
        "logits": logits[0, -1].tolist(),
        "texts": [tokenizer(text)["input_ids"] for text in texts],
        "chat": chat,
        "eos": tokenizer.eos_token,
    }


print(json.dumps({str(f): told(Path(f), **json.loads(sys.argv[1])) for f in sys.argv[2:]}))
