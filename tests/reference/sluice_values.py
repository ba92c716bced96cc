"""What sluice itself makes of a build, for the programs here that compare other readers with it."""

import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

MOVED = 2e-4


def check_all(check):
    """check(program, folder, place) for the folders of the command line; the exit code."""
    good = True
    for folder in map(pathlib.Path, sys.argv[2:]):
        with tempfile.TemporaryDirectory() as place:
            good &= check(sys.argv[1], folder, pathlib.Path(place))
    return 0 if good else 1


def prompt(config, length=96):
    """Token ids without the special ones at the vocabulary's end."""
    vocabulary = config.get("vocab_size") or config["text_config"]["vocab_size"]
    return [(i * 37 + i * i) % (vocabulary - 40) for i in range(length)]


def plain_tensors(program, build, place):
    """Every tensor of the build decoded, in the names of the checkpoint; matrices rounded to BF16."""
    out = place / "plain"
    subprocess.run([program, "convert", str(build), str(out), "--to", "safetensors"], check=True, capture_output=True)
    tensors = {}
    for file in out.glob("*.safetensors"):
        tensors |= load_file(file)
    return tensors


def logits(program, build, ids, settings, place):
    """All that `sluice logits` writes of a prompt: logits of all positions, float32, and what the settings ask for."""
    out = place / "logits.safetensors"
    subprocess.run([program, "logits", str(build), "--ids", ",".join(map(str, ids)), "--positions", "all", "--overwrite",
                    "--out", str(out), *settings], check=True, stdout=subprocess.DEVNULL)
    return load_file(out)


def same_input_products(model, trace):
    """Gives every quantized product of transformers' model the input that sluice's trace has for it, and yields its name,
    what the model makes of it and what sluice made of it. Differences do not add up along the layers this way."""
    for index, layer in enumerate(model.model.layers):
        def of(name):
            return trace[f"layers.{index}.{name}"].flatten(1)
        def apply(module, name):
            with torch.no_grad():
                return module(of(name).to(module.weight.dtype)[None])[0].float()
        if hasattr(layer, "linear_attn"):
            mixer = layer.linear_attn
            yield f"layers.{index}.in_proj_qkv", apply(mixer.in_proj_qkv, "input_norm"), of("gdn.in_proj_qkv")
            yield f"layers.{index}.in_proj_z", apply(mixer.in_proj_z, "input_norm"), of("gdn.in_proj_z")
            yield f"layers.{index}.out_proj", apply(mixer.out_proj, "gdn.core_normed"), of("mixer_out")
        else:
            mixer = layer.self_attn
            for leaf in ("q_proj", "k_proj", "v_proj"):
                yield f"layers.{index}.{leaf}", apply(getattr(mixer, leaf), "input_norm"), of(f"attn.{leaf}")
            yield f"layers.{index}.o_proj", apply(mixer.o_proj, "attn.heads_gated"), of("mixer_out")
        gate, up = apply(layer.mlp.gate_proj, "post_norm"), apply(layer.mlp.up_proj, "post_norm")
        yield f"layers.{index}.gate_up", torch.nn.functional.silu(gate) * up, of("mlp_product")
        yield f"layers.{index}.down_proj", apply(layer.mlp.down_proj, "mlp_product"), of("mlp_out")


def worst_product(model, trace):
    apart = {name: ((found - wanted).pow(2).mean() / wanted.pow(2).mean()).sqrt().item()
             for name, wanted, found in same_input_products(model, trace)}
    worst = max(apart, key=apart.get)
    return (f"each of {len(apart)} products of the same input: rms of the difference at most {apart[worst]:.2e} ({worst}), "
            f"middle {sorted(apart.values())[len(apart) // 2]:.2e}")


def moved(model, modules, ids):
    """How far rounding of activations carries a small difference: the same model with noise on each product."""
    torch.manual_seed(1)
    with torch.no_grad():
        before = model(torch.tensor([ids])).logits[0].float()
        hooks = [module.register_forward_hook(lambda _, __, out: out + MOVED * out.std() * torch.randn_like(out))
                 for module in modules]
        after = model(torch.tensor([ids])).logits[0].float()
    for hook in hooks:
        hook.remove()
    return f"the other program against itself with noise of {MOVED} on its products: {differences(after, before)}"


def differences(found, wanted):
    """Largest difference over the peak, root mean square over the deviation, share of equal first choices."""
    apart = (found - wanted).abs()
    rms = apart.pow(2).mean().sqrt() / wanted.std()
    same = (found.argmax(-1) == wanted.argmax(-1)).float().mean()
    return (f"largest {apart.max() / wanted.abs().max():.2e} of the peak, rms {rms:.2e} of the deviation, "
            f"first choice equal in {same:.1%} of {len(found)}")
