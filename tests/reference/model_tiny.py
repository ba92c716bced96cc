"""Makes tests/model/data/tiny: a random checkpoint of the family (BF16, untied, draft head, V/K head ratio 3,
key and value dimensions of 16 and 12) with a byte-level tokenizer, and golden.safetensors with what
model_reference.py computes from the stored (rounded) weights in float64.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy
    /tmp/venv/bin/python tests/reference/model_tiny.py tests/model/data/tiny

Made with numpy 2; the same seed gives the same files."""

import json
import pathlib
import struct
import sys
import zlib

import numpy as np

from model_reference import Model

SEED = 20
ADDED = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
    "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
    "<think>", "</think>"]
NOT_SPECIAL = {"<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
               "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"}
MERGES = [("Ġ", "t"), ("h", "e"), ("i", "n"), ("Ġ", "a"), ("e", "r"), ("Ġt", "he"), ("o", "n"), ("Ġ", "Ġ"), ("r", "e"), ("a", "t")]
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
TEMPLATE = """{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

VOCABULARY = 296
CONFIG = {
    "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "attention_bias": False,
    "attn_output_gate": True, "dtype": "bfloat16", "eos_token_id": 266, "full_attention_interval": 4,
    "head_dim": 32, "hidden_act": "silu", "hidden_size": 48, "intermediate_size": 48,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"], "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 6, "linear_value_head_dim": 12,
    "mamba_ssm_dtype": "float32", "max_position_embeddings": 2048, "mtp_num_hidden_layers": 1,
    "mtp_use_dedicated_embeddings": False, "num_attention_heads": 2, "num_hidden_layers": 4,
    "num_key_value_heads": 1, "output_gate_type": "swish", "rms_norm_eps": 1e-06,
    "rope_parameters": {"mrope_interleaved": True, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25,
                        "rope_theta": 10000000, "rope_type": "default"},
    "tie_word_embeddings": False, "vocab_size": VOCABULARY}


def shapes():
    c = CONFIG
    hidden, inter = c["hidden_size"], c["intermediate_size"]
    width, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    keys = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    heads = c["linear_num_value_heads"]
    values = heads * c["linear_value_head_dim"]
    out = {"model.embed_tokens.weight": (VOCABULARY, hidden), "model.norm.weight": (hidden,),
           "lm_head.weight": (VOCABULARY, hidden)}
    attention = {"q_proj": (2 * width, hidden), "k_proj": (kv, hidden), "v_proj": (kv, hidden), "o_proj": (hidden, width),
                 "q_norm": (c["head_dim"],), "k_norm": (c["head_dim"],)}
    gdn = {"in_proj_qkv.weight": (2 * keys + values, hidden), "in_proj_z.weight": (values, hidden),
           "in_proj_b.weight": (heads, hidden), "in_proj_a.weight": (heads, hidden),
           "conv1d.weight": (2 * keys + values, 1, c["linear_conv_kernel_dim"]), "A_log": (heads,), "dt_bias": (heads,),
           "norm.weight": (c["linear_value_head_dim"],), "out_proj.weight": (hidden, values)}
    layers = [(f"model.layers.{i}.", kind) for i, kind in enumerate(c["layer_types"])] + [("mtp.layers.0.", "full_attention")]
    for prefix, kind in layers:
        out[prefix + "input_layernorm.weight"] = out[prefix + "post_attention_layernorm.weight"] = (hidden,)
        if kind == "full_attention":
            out |= {f"{prefix}self_attn.{name}.weight": shape for name, shape in attention.items()}
        else:
            out |= {f"{prefix}linear_attn.{name}": shape for name, shape in gdn.items()}
        out |= {f"{prefix}mlp.gate_proj.weight": (inter, hidden), f"{prefix}mlp.up_proj.weight": (inter, hidden),
                f"{prefix}mlp.down_proj.weight": (hidden, inter)}
    out |= {"mtp.fc.weight": (hidden, 2 * hidden), "mtp.norm.weight": (hidden,),
            "mtp.pre_fc_norm_embedding.weight": (hidden,), "mtp.pre_fc_norm_hidden.weight": (hidden,)}
    return out


def draw(name, shape):
    """No weight is trivial; matrices keep their inputs' size."""
    random = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
    x = random.standard_normal(shape)
    if name.endswith("A_log"):
        return 0.7 * x
    if name.endswith("dt_bias"):
        return 1.0 + 0.5 * x
    if name.endswith("linear_attn.norm.weight"):
        return 1 + 0.3 * x
    if name.endswith("norm.weight") or "norm_" in name or "layernorm" in name:
        return 0.3 * x
    if "conv1d" in name:
        return 0.6 * x
    if "embed" in name:
        return x
    return x * (2.0 if "lm_head" in name else 1.2) / np.sqrt(shape[-1])


def bf16_bits(x):
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def safetensors(path, tensors):
    """tensors: name -> (dtype name, array)."""
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def byte_alphabet():
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    mapped, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            mapped[byte] = chr(byte)
        else:
            mapped[byte] = chr(256 + extra)
            extra += 1
    return [mapped[b] for b in printable] + [mapped[b] for b in range(256) if b not in printable]


def write_tokenizer(folder):
    vocabulary = {token: i for i, token in enumerate(byte_alphabet())}
    for left, right in MERGES:
        vocabulary[left + right] = len(vocabulary)
    first = len(vocabulary)
    added = [{"id": first + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": text not in NOT_SPECIAL} for i, text in enumerate(ADDED)]
    assert first + len(ADDED) <= VOCABULARY and first == CONFIG["eos_token_id"]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    write_json(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}, byte_level]},
        "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary, "merges": [list(pair) for pair in MERGES]}})
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": False, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2TokenizerFast",
        "added_tokens_decoder": {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in added}})
    write_json(folder / "generation_config.json", {"do_sample": True, "eos_token_id": [first + 2, first],
                                                   "temperature": 1.0, "top_k": 20, "top_p": 0.95})
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", CONFIG)
    write_tokenizer(folder)
    stored = {name: bf16_bits(draw(name, shape)) for name, shape in sorted(shapes().items())}
    safetensors(folder / "model.safetensors", {name: ("BF16", bits) for name, bits in stored.items()})
    weights = {name: (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64) for name, bits in stored.items()}

    model = Model(CONFIG, weights)
    ids = np.random.Generator(np.random.PCG64(SEED)).integers(0, 256, 70)
    hidden, states = model.forward(ids)
    logits = model.logits(hidden)
    following = np.append(ids[1:], np.argmax(logits[-1]))
    m = model.draft(hidden, following)
    rows = np.array([0, 1, 4, 62, 63, 64, 69], dtype=np.int32)
    golden = {"ids": ("I32", ids.astype(np.int32)), "rows": ("I32", rows), "logits": ("F32", logits[rows].astype(np.float32)),
              "next_token": ("I32", following[-1:].astype(np.int32)),
              "m": ("F32", m[rows].astype(np.float32)), "draft_logits": ("F32", model.logits(m[rows]).astype(np.float32)),
              "state_0": ("F32", states[0].astype(np.float32)), "state_2": ("F32", states[2].astype(np.float32))}
    golden_folder = folder.parent / "tiny-golden"
    golden_folder.mkdir(exist_ok=True)
    safetensors(golden_folder / "golden.safetensors", golden)
    top = np.sort(logits, axis=-1)
    print("size", sum(p.stat().st_size for p in folder.iterdir()), "logit std", logits.std(), "smallest gap", (top[:, -1] - top[:, -2]).min())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
