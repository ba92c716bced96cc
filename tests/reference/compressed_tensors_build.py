"""Opens a build of `sluice quantize` in compressed-tensors' layout (or the official FP8 one) with transformers, and
compares: every tensor after transformers' own decompression with what `sluice convert` makes of the build (in BF16), and
the logits of a prompt with `sluice logits`, once with activations as they are and once with activations quantized as the
build's recipe says, which compressed-tensors does on the CPU. Run by hand:

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch transformers accelerate compressed-tensors safetensors
    /tmp/venv/bin/python tests/reference/compressed_tensors_build.py build/release/bin/sluice FOLDER ...

Checked with transformers 5.23.0, compressed-tensors 0.20.0 and torch 2.15. Builds of text models only."""

import json
import sys

import torch
import transformers

from sluice_values import check_all, differences, logits, moved, plain_tensors, prompt, worst_product


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    quantization = config["quantization_config"]
    official = quantization["quant_method"] == "fp8"
    # compressed-tensors unpacks NVFP4 to BF16 (which is exact), whatever is asked for; the rest of the model must be
    # BF16 as well until the first forward pass has decompressed it.
    packed = "nvfp4" in json.dumps(quantization)
    settings = {"dtype": torch.bfloat16 if packed else torch.float32}
    if official:
        settings["quantization_config"] = transformers.FineGrainedFP8Config(dequantize=True)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, **settings)
    for kind in ("missing_keys", "mismatched_keys"):
        assert not report[kind], (kind, report[kind])
    ignored = [name for name in report["unexpected_keys"] if not name.startswith("mtp.")]
    return model.eval(), config, ignored


def switch(modules, linears, caches):
    for module in modules:
        module.quantization_enabled = linears if isinstance(module, torch.nn.Linear) else caches


def print_logits(program, folder, place, model, ids, modules):
    linears = [module for module in modules if isinstance(module, torch.nn.Linear)]
    emulated = any(module.quantization_scheme.input_activations for module in linears)
    cases = [("plain", False, False, ["--backend", "ref"]),
             ("plain", False, False, ["--kv", "f32", "--activations", "wide"])]
    if emulated:
        cases += [("activations as published", True, False, ["--backend", "ref"]),
                  ("activations as published", True, False, ["--kv", "f32", "--activations", "published"])]
    if len(linears) < len(modules):
        cases += [("keys and values in FP8", False, True, ["--backend", "ref"]),
                  ("keys and values in FP8", False, True, ["--kv", "fp8", "--activations", "wide"])]
    for what, with_linears, with_caches, settings in cases:
        switch(modules, with_linears, with_caches)
        with torch.no_grad():
            wanted = model(torch.tensor([ids])).logits[0].float()
        found = logits(program, folder, ids, settings, place)["logits"]
        print(f"  {what}, sluice {' '.join(settings)}: {differences(found, wanted)}")
        if what == "plain" and settings == ["--backend", "ref"]:  # transformers keeps FP8 matrices of a mixed build in BF16: so does this one
            found = logits(program, place / "plain", ids, settings, place)["logits"]
            print(f"  {what}, sluice {' '.join(settings)} on its own BF16 of the build: {differences(found, wanted)}")
    if not emulated:
        return
    switch(modules, True, False)
    print(f"  activations as published, {moved(model, linears, ids)}")
    trace = logits(program, folder, ids, ["--kv", "f32", "--activations", "published", "--trace"], place)
    print(f"  activations as published, {worst_product(model, trace)}")


def check(program, folder, place):
    model, config, ignored = load(folder)
    ids = prompt(config)
    if config["quantization_config"]["quant_method"] != "fp8":
        with torch.no_grad():
            model(torch.tensor([ids[:2]]))  # decompresses
    ours = plain_tensors(program, folder, place)
    equal, largest, compared = 0, 0.0, 0
    for name, tensor in model.state_dict().items():
        if name not in ours:
            continue
        compared += 1
        equal += torch.equal(tensor.to(torch.bfloat16), ours[name].to(torch.bfloat16))
        largest = max(largest, (tensor.float() - ours[name].float()).abs().max().item())
    print(f"{folder.name}: {equal} of {compared} tensors equal in BF16, largest difference {largest:.2e}; "
          f"kept as {sorted({str(t.dtype) for t in model.state_dict().values()})}, not read: {len(ignored)}")
    modules = [module for module in model.modules() if getattr(module, "quantization_scheme", None) is not None]
    for parameter in model.parameters():  # float() is refused for quantized models
        parameter.data = parameter.data.float()
    print_logits(program, folder, place, model, ids, modules)
    return equal == compared


if __name__ == "__main__":
    sys.exit(check_all(check))
