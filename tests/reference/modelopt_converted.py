"""Gives a build of `sluice quantize --to nvfp4_a4 --layout modelopt` to compressed-tensors' own converter of that layout, and
compares what it makes, tensor by tensor, with the build of `--layout compressed-tensors`. Run by hand:

    /tmp/venv/bin/python tests/reference/modelopt_converted.py MODELOPT_FOLDER COMPRESSED_TENSORS_FOLDER

Checked with compressed-tensors 0.20.0. Both builds from the same --ranges."""

import json
import pathlib
import sys
import tempfile

import torch
from compressed_tensors.entrypoints.convert import ModelOptNvfp4Converter, convert_checkpoint
from compressed_tensors.quantization import QuantizationArgs
from safetensors.torch import load_file

TARGETS = [r"re:.*(mlp|self_attn)\..*_proj$", r"re:.*linear_attn\.(in_proj_qkv|in_proj_z|out_proj)$"]
CACHE = QuantizationArgs(num_bits=8, type="float", strategy="tensor", dynamic=False, symmetric=True)


def main():
    source, other = map(pathlib.Path, sys.argv[1:3])
    excluded = json.loads((source / "hf_quant_config.json").read_text())["quantization"]["exclude_modules"]
    patterns = ["re:" + name.replace(".", r"\.").replace("*", ".*") if "*" in name else name for name in excluded]
    with tempfile.TemporaryDirectory() as place:
        out = pathlib.Path(place) / "converted"
        convert_checkpoint(source, out, ModelOptNvfp4Converter(patterns, TARGETS, CACHE), max_workers=1)
        converted = load_file(out / "model.safetensors")
    wanted = load_file(other / "model.safetensors")
    # The converter leaves the scales of keys and values at the projections, where ModelOpt has them.
    for leaf in ("k", "v"):
        for name in [name for name in converted if name.endswith(f"{leaf}_proj.{leaf}_scale")]:
            converted[name.replace(f"{leaf}_proj.", "")] = converted.pop(name).reshape(1)
    assert converted.keys() == wanted.keys(), converted.keys() ^ wanted.keys()
    apart = {name for name in wanted if not torch.equal(converted[name].reshape(-1).view(torch.uint8),
                                                       wanted[name].reshape(-1).view(torch.uint8))}
    far = [name for name in apart if not torch.allclose(converted[name], wanted[name].reshape(converted[name].shape),
                                                        rtol=2.0**-22, atol=0)]
    print(f"{len(wanted) - len(apart)} of {len(wanted)} tensors equal; {len(apart) - len(far)} activation scales differ "
          f"by the rounding of a reciprocal: {sorted(apart)}")
    return 0 if not far and all(name.endswith("input_global_scale") for name in apart) else 1


if __name__ == "__main__":
    sys.exit(main())
