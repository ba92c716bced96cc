"""Compares a folder that `sluice train` exported with transformers: loads it there in float32, and holds the
logits of the text model against those of `sluice logits` on the reference backend (which the trainer's own tests
hold against the trainer). Run by hand:

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch transformers numpy safetensors
    /tmp/venv/bin/python tests/reference/exported_model.py build/release/bin/sluice FOLDER

Checked with transformers 5.23.0 and torch 2.15. Transformers ignores mtp.* of this family."""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file

LENGTHS = [1, 5, 64, 65, 200]  # around the chunk of 64
ALLOWED = 1e-4  # largest difference over the peak


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    model.eval()
    for kind in ("missing_keys", "mismatched_keys"):
        assert not report[kind], (kind, report[kind])
    unexpected = [name for name in report["unexpected_keys"] if not name.startswith("mtp.")]
    assert not unexpected, unexpected
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    worst = 0.0
    for length in LENGTHS:
        ids = [(i * 37 + i * i) % (vocabulary - 40) for i in range(length)]
        with torch.no_grad():
            wanted = model(torch.tensor([ids])).logits[0].numpy()
        with tempfile.TemporaryDirectory() as place:
            out = pathlib.Path(place) / "logits.safetensors"
            subprocess.run([program, "logits", str(folder), "--backend", "ref", "--ids", ",".join(map(str, ids)),
                            "--positions", "all", "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
            found = load_file(out)["logits"]
        error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
        worst = max(worst, error)
        print(f"{length} tokens: {error:.2e} of the peak {np.abs(wanted).max():.2f}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "What is 2 + 2?"}], tokenize=False,
                                         add_generation_prompt=True)
    print("prompt by transformers:", json.dumps(text))
    print("largest difference:", f"{worst:.2e}", "allowed", ALLOWED)
    return 0 if worst <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
