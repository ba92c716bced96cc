"""GGUF builds of sluice in llama.cpp: its logits of every position, with and without the draft head, beside sluice's own.
llama.cpp rounds the inputs of its products (to 8 bits a block for quantized types, to the type itself for F16 and BF16), so
both are held against the exact result, `sluice logits --backend ref` on the same file, and against each other. Run by hand:

    g++ ... llama_logits.cc    (see there)
    /tmp/venv/bin/python tests/reference/llama_builds.py build/release/bin/sluice ./llama_logits BUILD.gguf ...

Checked with llama.cpp of October 2026 (ggml 0.25.3). Distances are the root mean square of the difference over the
deviation of the exact logits. Fails where llama.cpp is further from the exact result than its types explain, or sluice
with the same kind of rounding (`--activations wide` for files of floats, `digit` for quantized ones) is further than it.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch

from sluice_values import logits, prompt

LENGTH = 200
ROOM = {"f32": 1e-5, "f16": 2e-3, "bf16": 2e-2}  # else: quantized types
QUANTIZED_ROOM = 0.1
CHANCE = 1.25  # two roundings to 8 bits with the same blocks differ by chance


def rms(found, exact):
    return ((found - exact).pow(2).mean().sqrt() / exact.std()).item()


def same(found, exact):
    return (found.argmax(-1) == exact.argmax(-1)).float().mean().item()


def llama(tool, build, ids, place, drafts):
    out = place / "llama"
    subprocess.run([tool, str(build), str(out), ",".join(map(str, ids)), *(["drafts"] if drafts else [])], check=True,
                   stdout=subprocess.DEVNULL)
    def read(path, rows):
        return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32).view(rows, -1)
    rows = [read(out, len(ids))]
    return rows + ([read(place / "llama.drafts", len(ids) - 1)] if drafts else [])


def check(program, tool, build, place):
    facts = json.loads(subprocess.run([program, "inspect", str(build), "--json"], check=True, capture_output=True).stdout)
    plain = facts["formats"].keys() <= ROOM.keys()
    drafts = facts["mtp"]["usable"]
    ids = prompt({"vocab_size": facts["dimensions"]["vocab"]}, LENGTH)
    also = ["--mtp"] if drafts else []
    exact, rounded = (logits(program, build, ids, settings + also, place) for settings in (
        ["--backend", "ref"], ["--kv", "f32", "--activations", "wide" if plain else "digit"]))
    good = True
    for name, theirs in zip(("logits", "mtp_logits"), llama(tool, build, ids, place, drafts)):
        ours, wanted = rounded[name], exact[name]
        room = max(ROOM[format] for format in facts["formats"]) if plain else QUANTIZED_ROOM
        fine = rms(theirs, wanted) <= room and rms(ours, wanted) <= max(CHANCE * rms(theirs, wanted), 1e-6)
        good &= fine
        print(f"| {build.stem} | {'draft head' if name == 'mtp_logits' else 'model'} | {rms(theirs, wanted):.1e} | "
              f"{rms(ours, wanted):.1e} | {rms(ours, theirs):.1e} | {same(theirs, wanted):.1%} | {same(ours, wanted):.1%} |"
              + ("" if fine else " FAILED"))
    return good


def main():
    program, tool = sys.argv[1:3]
    print("| build | | llama.cpp to exact | sluice to exact | each other | first choice, llama.cpp | sluice |")
    good = True
    for build in map(pathlib.Path, sys.argv[3:]):
        with tempfile.TemporaryDirectory() as place:
            good &= check(program, tool, build, pathlib.Path(place))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
