"""llama.cpp's own llama-quantize and `sluice quantize` on the same BF16 GGUF, made by `sluice convert`: every tensor's type
and bytes, and all metadata, without importance and with it in both file forms. Run by hand:

    /tmp/venv/bin/pip install gguf numpy
    /tmp/venv/bin/python tests/reference/llama_quantize.py build/release/bin/sluice llama-quantize MODEL TEXT

MODEL is a checkpoint, TEXT what the importance is gathered on. Checked with llama.cpp of October 2026 (ggml 0.25.3)."""

import pathlib
import subprocess
import sys
import tempfile

import gguf

TYPES = ["q8_0", "q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "q3_k_m", "iq4_xs", "iq4_nl", "q5_1", "q5_0", "q4_1", "q4_0"]
# Said of how a file was made, not of what is in it.
OF_THE_RUN = ("quantize.imatrix.", "GGUF.")


def contents(path):
    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: (tensor.tensor_type, tuple(tensor.shape), tensor.data.tobytes()) for tensor in reader.tensors}
    keys = {key: field.contents() for key, field in reader.fields.items() if not key.startswith(OF_THE_RUN)}
    return tensors, keys


def main():
    program, tool, model, text = sys.argv[1:5]
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)

        def run(*command):
            subprocess.run(list(map(str, command)), check=True, capture_output=True)

        source = place / "bf16.gguf"
        run(program, "convert", model, source, "--to", "gguf")
        forms = [None]
        for form in ("gguf", "dat"):
            forms.append(place / f"importance.{form}")
            run(program, "calibrate", source, "--file", text, "--chunks", 6, "--out", forms[-1],
                "--ranges", place / f"{form}.json")
        different = 0
        for name in TYPES:
            for importance in forms:
                ours, theirs = place / "ours.gguf", place / "theirs.gguf"
                with_it = ["--imatrix", importance] if importance else []
                run(program, "quantize", source, ours, "--to", name, "--keep-mtp", "same", "--overwrite", *with_it)
                run(tool, *with_it, source, theirs, name.upper())
                (tensors, keys), (wanted, wanted_keys) = contents(ours), contents(theirs)
                equal = sum(tensors.get(tensor) == wanted[tensor] for tensor in wanted)
                apart = sorted(key for key in keys.keys() | wanted_keys.keys() if keys.get(key) != wanted_keys.get(key))
                different += len(wanted) - equal + abs(len(tensors) - len(wanted))
                print(f"{name}, {f'importance.{importance.suffix[1:]}' if importance else 'without importance'}: "
                      f"{equal} of {len(wanted)} tensors equal, keys that differ: {apart}")
    return 0 if different == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
