"""Makes tests/model/data/yarn.json: inverse frequencies (float32 bits) and attention factors of rotary tables, by
_compute_yarn_parameters of Hugging Face transformers run in torch on the CPU (transformers 5.23.0's function,
torch 1.13.1 of Debian 12; "default" by the reference's formula 1 / theta ** (arange / dims)). The power of this
torch is one ulp off for some bases (10^6 with 128 dims); the cases keep to bases where it equals later releases.

    python model_yarn.py path/to/transformers/modeling_rope_utils.py tests/model/data/yarn.json"""

import ast
import json
import math
import struct
import sys

import torch

CASES = [
    # name, theta, head_dim, partial, max_position_embeddings, rope keys
    ("default", 10000000, 256, 0.25, 262144, None),
    ("published_4x", 10000000, 256, 0.25, 262144, {"factor": 4.0, "original_max_position_embeddings": 262144}),
    ("published_2x", 10000000, 256, 0.25, 262144, {"factor": 2.0, "original_max_position_embeddings": 262144}),
    ("million", 10000000, 256, 0.25, 1048576, {"factor": 3.85, "original_max_position_embeddings": 272358}),
    ("small_context", 10000000, 64, 0.25, 4096, {"factor": 8.0, "original_max_position_embeddings": 512}),
    ("betas", 10000000, 256, 0.25, 262144,
     {"factor": 4.0, "original_max_position_embeddings": 32768, "beta_fast": 16, "beta_slow": 2}),
    ("untruncated", 10000000, 256, 0.25, 131072, {"factor": 4.0, "original_max_position_embeddings": 32768, "truncate": False}),
    ("attention_factor", 10000000, 256, 0.25, 262144,
     {"factor": 4.0, "original_max_position_embeddings": 262144, "attention_factor": 1.25}),
    ("mscale", 10000, 64, 1.0, 163840,
     {"factor": 40, "original_max_position_embeddings": 4096, "mscale": 1.0, "mscale_all_dim": 0.707}),
    ("lone_mscale", 10000, 64, 1.0, 163840, {"factor": 40, "original_max_position_embeddings": 4096, "mscale": 0.707}),
    ("shrinking", 10000, 64, 1.0, 4096, {"factor": 0.5, "original_max_position_embeddings": 4096}),
]


class Config:
    def __init__(self, **entries):
        self.__dict__.update(entries)
        self.per_layer_config = {}

    def standardize_rope_params(self):
        pass


def load_function(path):
    """The one function, without importing the package."""
    tree = ast.parse(open(path).read())
    node = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "_compute_yarn_parameters")
    node.returns = None
    for argument in node.args.args:
        argument.annotation = None
    scope = {"torch": torch, "math": math}
    exec(compile(ast.Module([node], []), path, "exec"), scope)
    return scope["_compute_yarn_parameters"]


def bits(tensor):
    return ["%08x" % struct.unpack("<I", struct.pack("<f", v))[0] for v in tensor.tolist()]


def main():
    yarn = load_function(sys.argv[1])
    out = []
    for name, theta, head_dim, partial, context, keys in CASES:
        dims = int(head_dim * partial)
        if keys is None:
            frequencies, factor = 1.0 / (theta ** (torch.arange(0, dims, 2, dtype=torch.int64).to(dtype=torch.float) / dims)), 1.0
        else:
            rope = {"rope_type": "yarn", "rope_theta": theta, "partial_rotary_factor": partial, **keys}
            config = Config(rope_parameters=rope, head_dim=head_dim, hidden_size=head_dim, num_attention_heads=1, max_position_embeddings=context)
            frequencies, factor = yarn(config, "cpu")
        out.append({"name": name, "theta": theta, "dims": dims, "keys": keys, "attention_factor": factor, "bits": bits(frequencies)})
    with open(sys.argv[2], "w") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")


main()
