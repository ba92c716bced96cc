"""What a calibration must gather on tests/model/data/tiny: per matrix the sum of squares and the largest magnitude
of each input over windows of text, and the largest keys and values of each attention layer, from model_reference.py
in float64.

    /tmp/venv/bin/python tests/reference/model_calibration.py tests/model/data/tiny tests/tools/calibrate/data

Made with numpy 2; needs the files of model_tiny.py."""

import json
import pathlib
import struct
import sys

import numpy as np

from model_reference import Model
from model_tiny import safetensors

WINDOW = 40  # of the golden's 70 tokens: a whole window and a short one


def read(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        data = raw[8 + size + begin : 8 + size + end]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data, {"F32": np.float32, "I32": np.int32}[entry["dtype"]])
        out[name] = values.reshape(entry["shape"])
    return out


class Inputs:
    """Sums over all rows that a matrix was multiplied with."""

    def __init__(self, columns):
        self.rows, self.amax, self.squares = 0, 0.0, np.zeros(columns)

    def add(self, x):
        self.rows += len(x)
        self.amax = max(self.amax, np.abs(x).max())
        self.squares += (x * x).sum(axis=0)


class Recorded:
    """Stands in for a matrix in `x @ matrix.T`."""

    __array_ufunc__ = None

    def __init__(self, matrix):
        self.matrix, self.inputs, self.largest_output = matrix, Inputs(matrix.shape[1]), 0.0

    @property
    def T(self):
        return self

    def __rmatmul__(self, x):
        self.inputs.add(x)
        out = x @ self.matrix.T
        self.largest_output = max(self.largest_output, np.abs(out).max())
        return out


class CalibratedModel(Model):
    """Knows besides how large the rotated keys of each attention layer were."""

    def __init__(self, config, tensors):
        super().__init__(config, tensors)
        self.keys, self.prefix = {}, None

    def attention(self, x, prefix, positions):
        self.prefix = prefix
        return super().attention(x, prefix, positions)

    def rotate(self, x, positions):
        out = super().rotate(x, positions)
        if x.shape[1] == self.c["num_key_value_heads"]:  # the queries have more heads
            self.keys[self.prefix] = max(self.keys.get(self.prefix, 0.0), np.abs(out).max())
        return out


def main(folder, out):
    config = json.loads((folder / "config.json").read_text())
    assert config["num_attention_heads"] != config["num_key_value_heads"]
    weights = {name: values.astype(np.float64) for name, values in read(folder / "model.safetensors").items()}
    matrices = {name: Recorded(values) for name, values in weights.items()
                if values.ndim == 2 and "embed_tokens" not in name}
    model = CalibratedModel(config, weights | matrices)
    ids = read(folder.parent / "tiny-golden" / "golden.safetensors")["ids"]
    for begin in range(0, len(ids), WINDOW):
        window = ids[begin : begin + WINDOW]
        hidden, _ = model.forward(window)
        model.logits(hidden)
        model.draft(hidden[:-1], window[1:])
    stored = {"ids": ("I32", ids), "window": ("I32", np.array([WINDOW], np.int32))}
    for name, matrix in matrices.items():
        canonical = name.removeprefix("model.").removesuffix(".weight")
        inputs = matrix.inputs
        stored[canonical + "/squares"] = ("F64", inputs.squares)
        stored[canonical + "/rows_amax"] = ("F64", np.array([inputs.rows, inputs.amax]))
    for prefix, key in model.keys.items():
        value = matrices[prefix + "v_proj.weight"].largest_output
        canonical = prefix.removeprefix("model.").removesuffix(".")
        stored[canonical + "/key_value"] = ("F64", np.array([key, value]))
    out.mkdir(parents=True, exist_ok=True)
    safetensors(out / "calibration.safetensors", stored)
    print(len(matrices), "matrices,", len(model.keys), "attention layers")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
