"""Opens a build of `sluice quantize --layout modelopt` with ModelOpt's own tensor classes and compares with sluice.
ModelOpt 0.47 writes this layout for engines and has no reader of it, so a small loader here does what those do: it takes
from hf_quant_config.json what is quantized how, gives codes and scales to NVFP4QTensor and FP8QTensor, and what they
dequantize in float32 to transformers. Compared are every tensor with what `sluice convert` makes of the build, and logits:
once with activations as they are, once quantized by ModelOpt's code with the scales of the file. Run by hand:

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install nvidia-modelopt transformers accelerate safetensors torch
    /tmp/venv/bin/python tests/reference/modelopt_build.py build/release/bin/sluice FOLDER ...

Checked with ModelOpt 0.47.0, transformers 5.23.0 and torch 2.15. Builds of text models only."""

import fnmatch
import json
import shutil
import sys

import torch
import transformers
from modelopt.torch.quantization.qtensor import FP8QTensor, NVFP4QTensor
from modelopt.torch.quantization.tensor_quant import fp8_eager
from safetensors.torch import load_file, save_file

from sluice_values import check_all, differences, logits, moved, plain_tensors, prompt, worst_product


class Build:
    def __init__(self, folder):
        quantization = json.loads((folder / "hf_quant_config.json").read_text())["quantization"]
        self.algorithm, self.group = quantization["quant_algo"], quantization.get("group_size")
        self.stored = {}
        for file in folder.glob("*.safetensors"):
            self.stored |= load_file(file)
        excluded = quantization["exclude_modules"]
        self.modules = sorted(name.removesuffix(".weight_scale") for name in self.stored if name.endswith(".weight_scale"))
        for module in self.modules:
            assert not any(fnmatch.fnmatchcase(module, pattern) for pattern in excluded), module
        for name, tensor in self.stored.items():  # and nothing else is: a linear that no pattern names has a scale
            module = name.removesuffix(".weight")
            assert (name == module or tensor.ndim != 2 or module in self.modules
                    or any(fnmatch.fnmatchcase(module, pattern) for pattern in excluded)), name

    def dequantized(self, module):
        codes, scale = self.stored[f"{module}.weight"], self.stored[f"{module}.weight_scale"]
        if codes.dtype == torch.float8_e4m3fn:
            return FP8QTensor(codes.shape, torch.float32, codes).dequantize(dtype=torch.float32, scale=scale[:, None])
        shape = torch.Size((codes.shape[0], 2 * codes.shape[1]))
        return NVFP4QTensor(shape, torch.float32, codes).dequantize(
            dtype=torch.float32, scale=scale, double_scale=self.stored[f"{module}.weight_scale_2"],
            block_sizes={-1: self.group})

    def activations(self, module):
        """What ModelOpt's quantizers do to the inputs of a module, or None."""
        scale = self.stored.get(f"{module}.input_scale")
        if self.algorithm == "NVFP4":
            def quantize(x):
                codes, blocks, tensor = NVFP4QTensor.quantize(x.flatten(0, -2), 16, weights_scaling_factor_2=scale)
                return codes.dequantize(dtype=torch.float32, scale=blocks, double_scale=tensor,
                                        block_sizes={-1: 16}).view_as(x)
            return quantize
        if self.algorithm == "W4A8_NVFP4_FP8":
            return lambda x: fp8_eager(x, 448 * scale)
        if self.algorithm == "FP8_PER_CHANNEL_PER_TOKEN":
            return lambda x: torch.stack([fp8_eager(row, row.abs().amax()) for row in x.flatten(0, -2)]).view_as(x)
        return None


def load(folder, build, place):
    """transformers on the dequantized tensors, and its modules that are quantized in the build."""
    plain = place / "dequantized"
    shutil.copytree(folder, plain, ignore=shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json", "hf_quant*"))
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (plain / "config.json").write_text(json.dumps(config))
    leaves = ("weight_scale", "weight_scale_2", "input_scale", "k_scale", "v_scale")
    tensors = {name: tensor for name, tensor in build.stored.items() if name.rsplit(".", 1)[-1] not in leaves}
    tensors |= {f"{module}.weight": build.dequantized(module) for module in build.modules}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, plain / "model.safetensors", {"format": "pt"})
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        plain, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "mismatched_keys"):
        assert not report[kind], (kind, report[kind])
    assert all(name.startswith("mtp.") for name in report["unexpected_keys"]), report["unexpected_keys"]
    modules = dict(model.named_modules())
    return model.eval(), config, tensors, {name: modules[name] for name in build.modules if name in modules}


def check(program, folder, place):
    build = Build(folder)
    model, config, tensors, modules = load(folder, build, place)
    ours = plain_tensors(program, folder, place)
    assert ours.keys() == tensors.keys()
    equal = sum(torch.equal(tensors[name].to(torch.bfloat16), ours[name].to(torch.bfloat16)) for name in ours)
    print(f"{folder.name} ({build.algorithm}): {equal} of {len(ours)} tensors equal in BF16, "
          f"{len(build.modules)} of them quantized")
    ids = prompt(config)
    caches = [name for name in build.stored if name.endswith((".k_scale", ".v_scale"))]
    print(f"  scales of keys and values: {len(caches)}")
    for what in ("plain", "activations as published"):
        if what != "plain":
            if not build.activations(build.modules[0]):
                break
            for name, module in modules.items():
                module.register_forward_pre_hook(lambda _, args, change=build.activations(name): (change(args[0]),))
        with torch.no_grad():
            wanted = model(torch.tensor([ids])).logits[0]
        mode = "wide" if what == "plain" else "published"
        for settings in (["--backend", "ref"], ["--kv", "f32", "--activations", mode]):
            found = logits(program, folder, ids, settings, place)["logits"]
            print(f"  {what}, sluice {' '.join(settings)}: {differences(found, wanted)}")
        if what != "plain":
            print(f"  {what}, {moved(model, modules.values(), ids)}")
            trace = logits(program, folder, ids, ["--kv", "f32", "--activations", mode, "--trace"], place)
            print(f"  {what}, {worst_product(model, trace)}")
    return equal == len(ours)


if __name__ == "__main__":
    sys.exit(check_all(check))
