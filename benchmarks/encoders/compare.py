#!/usr/bin/env python3
"""Error and time of our encoders beside those of ModelOpt, llm-compressor and ggml, on the same matrix.

usage: compare.py ENCODERS_BENCH MATRIX.safetensors[.zst] [--rounds 5] [--ggml NAME=libggml-base.so]... [--json FILE]

needs: pip install nvidia-modelopt llmcompressor gguf zstandard

All run on one thread, in turn, several rounds, and the median of each is printed: in processor time, which on a
shared machine is what the program needs, and by the clock. Times are of encoding alone, from weights in memory to
codes and scales in memory. Errors are relative: |Q(W) - W| / |W| of the weights, |X (Q(W) - W)| / |X W| of the
output, X the same for all: Gaussian, one column in a hundred ten times as large, fixed seed. What ModelOpt does on
a GPU only, rounding to E2M1 under a given block scale, is done here with the same arithmetic in torch.

A part whose tools are not installed is left out and said so. The encoded bytes of ggml's types are compared too.
"""

import argparse
import ctypes
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch reads it

import numpy  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

torch.set_num_threads(1)
torch.set_grad_enabled(False)

GROUP = 16
E2M1_MAX, E4M3_MAX = 6.0, 448.0


# ---------------------------------------------------------------- ModelOpt


def round_to_e2m1(magnitude):
    """Nearest magnitude of E2M1, ties to even, as few passes over the tensor as torch allows."""
    step = torch.where(magnitude < 2, 0.5, torch.where(magnitude < 4, 1.0, 2.0))
    return torch.round(magnitude / step).mul_(step).clamp_(max=E2M1_MAX)


def modelopt_encoders():
    from modelopt.torch.quantization.calib.mse import MseCalibrator, NVFP4MSECalibrator
    from modelopt.torch.quantization.qtensor.fp8_tensor import FP8QTensor
    from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor
    from modelopt.torch.quantization.tensor_quant import fp8_eager

    def nvfp4(weight, calibrator_of, largest=E4M3_MAX):
        """`calibrator_of(block amax, amax of the tensor, fake quantization)` finds each block's amax."""
        blocks = weight.float().view(-1, GROUP)
        block_amax = blocks.abs().amax(dim=1, keepdim=True)
        amax = block_amax.max()

        def fake(x, amax_of_block, exact=False):
            scale = amax_of_block / E2M1_MAX
            if not exact:  # the block's scale as E4M3 under the tensor's
                unit = amax / (E2M1_MAX * largest)
                scale = (scale / unit).clamp(2**-9, E4M3_MAX).to(torch.float8_e4m3fn).float() * unit
            magnitude = round_to_e2m1(x.abs() / scale)
            return magnitude.mul_(scale).copysign_(x)

        if calibrator_of is not None:
            calibrator = calibrator_of(block_amax, amax, fake)
            calibrator.collect(blocks)
            block_amax = calibrator.compute_amax()
        tensor_scale = amax / (E2M1_MAX * largest)
        scales = (block_amax / E2M1_MAX).view(weight.shape[0], -1)
        scales[scales == 0] = 1.0
        scales = NVFP4QTensor._cast_per_block_scale_to_fp8(scales / tensor_scale)
        packed, scales, tensor_scale = NVFP4QTensor.quantize(weight, GROUP, scales, tensor_scale)
        return lambda: packed.dequantize(torch.float32, scale=scales, double_scale=tensor_scale,
                                         block_sizes={-1: GROUP})

    def grid(start, stop, step):
        return lambda block, amax, fake: MseCalibrator(block, axis=0, step_size=step, start_multiplier=start,
                                                       stop_multiplier=stop, quant_func=fake)

    def sweep(block, amax, fake):
        return NVFP4MSECalibrator(block, amax, axis=0, quant_func=lambda x, a: fake(x, a, exact=True))

    def fp8_channel(weight, search):
        amax = weight.float().abs().amax(dim=1, keepdim=True)
        if search:
            calibrator = MseCalibrator(amax, axis=0, quant_func=fp8_eager)
            calibrator.collect(weight)
            amax = calibrator.compute_amax()
        scales = (amax / E4M3_MAX).float()
        quantized, _ = FP8QTensor.quantize(weight, scales)
        return lambda: quantized._quantized_data.float() * scales

    return {
        "nvfp4 ModelOpt max": lambda weight: nvfp4(weight, None),
        "nvfp4 ModelOpt four over six": lambda weight: nvfp4(weight, grid(1.0, 1.5, 0.5), largest=256.0),
        "nvfp4 ModelOpt mse": lambda weight: nvfp4(weight, grid(0.25, 4.0, 0.1)),
        "nvfp4 ModelOpt sweep of all scales": lambda weight: nvfp4(weight, sweep),
        "fp8 per channel ModelOpt max": lambda weight: fp8_channel(weight, False),
        "fp8 per channel ModelOpt mse": lambda weight: fp8_channel(weight, True),
    }


# ---------------------------------------------------------------- llm-compressor


def llmcompressor_encoders():
    from compressed_tensors.quantization import preset_name_to_scheme
    from compressed_tensors.quantization.lifecycle import dequantize, quantize
    from llmcompressor.observers import Observer

    def encode(weight, scheme, observer):
        args = preset_name_to_scheme(scheme, ["Linear"]).weights.model_copy()
        found = Observer.load_from_registry(observer, base_name="weight", args=args)
        found(weight)
        parameters = found.get_qparams()
        scale, zero, tensor_scale = (parameters[key] for key in ("scale", "zero_point", "global_scale"))
        codes = quantize(weight, scale, zero, args, dtype=None, global_scale=tensor_scale)
        return lambda: dequantize(codes, scale, zero, args, dtype=torch.float32, global_scale=tensor_scale).float()

    return {f"{label} llm-compressor {note}": lambda weight, scheme=scheme, observer=observer: encode(weight, scheme, observer)
            for label, scheme, observer, note in (
                ("nvfp4", "NVFP4A16", "memoryless_minmax", "max"),
                ("nvfp4", "NVFP4A16", "memoryless_mse", "mse"),
                ("nvfp4", "NVFP4A16", "nvfp4_expanded_mse", "expanded mse"),
                ("fp8 block", "FP8_BLOCK", "memoryless_minmax", "max"),
                ("fp8 block", "FP8_BLOCK", "memoryless_mse", "mse"),
                ("fp8 per channel", "FP8_DYNAMIC", "memoryless_minmax", "max"),
                ("fp8 per channel", "FP8_DYNAMIC", "memoryless_mse", "mse"))}


# ---------------------------------------------------------------- ggml

GGML_TYPES = ("q8_0", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "iq4_xs")


def ggml_encoders(name, library, importance):
    import gguf

    ggml = ctypes.CDLL(library)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]

    def encode(weight, kind, weights):
        rows, columns = weight.shape
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        codes = numpy.zeros((rows, columns // elements * size), numpy.uint8)
        ggml.ggml_quantize_chunk(int(kind), weight.data_ptr(), codes.ctypes.data, 0, rows, columns,
                                 weights.ctypes.data if weights is not None else None)
        decode = lambda: torch.from_numpy(gguf.quants.dequantize(codes, kind))  # noqa: E731
        decode.codes = codes.tobytes()
        return decode

    out = {}
    for label in GGML_TYPES:
        kind = gguf.GGMLQuantizationType[label.upper()]
        for weighted in (False, True):
            if weighted and label == "q8_0":
                continue
            suffix = " weighted" if weighted else ""
            out[f"{label}{suffix} {name}"] = lambda weight, kind=kind, weighted=weighted: encode(
                weight, kind, importance if weighted else None)
    return out


# ---------------------------------------------------------------- all together

# Our encoder, and what stands beside it.
OURS = {
    "nvfp4_none": "nvfp4 sluice largest to 6",
    "nvfp4_four_over_six": "nvfp4 sluice four over six",
    "nvfp4_sweep": "nvfp4 sluice sweep",
    "nvfp4_sweep_weighted": "nvfp4 sluice sweep weighted",
    "fp8_block": "fp8 block sluice",
    "fp8_channel_none": "fp8 per channel sluice max",
    "fp8_channel": "fp8 per channel sluice searched",
    **{name: f"{name} sluice" for name in GGML_TYPES},
    **{f"{name}_weighted": f"{name} weighted sluice" for name in GGML_TYPES},
}


def make_inputs(columns, rows=128, seed=20261122):
    random = numpy.random.default_rng(seed)
    inputs = random.standard_normal((rows, columns)).astype(numpy.float32)
    loud = random.choice(columns, columns // 100, replace=False)
    inputs[:, loud] *= 10
    importance = numpy.square(inputs.astype(numpy.float64)).mean(axis=0).astype(numpy.float32)
    return torch.from_numpy(inputs), torch.from_numpy(importance)


def read_matrix(path, folder):
    if path.suffix == ".zst":
        import zstandard
        plain = folder / path.stem
        with open(path, "rb") as packed, open(plain, "wb") as out:
            zstandard.ZstdDecompressor(max_window_size=1 << 27).copy_stream(packed, out)
        path = plain
    return path, load_file(path)["weight"]


def peers(arguments, importance):
    for label, make in (("ModelOpt", modelopt_encoders), ("llm-compressor", llmcompressor_encoders)):
        if label.lower() in arguments.without:
            continue
        try:
            yield from make().items()
        except ImportError as missing:
            print(f"left out: {label} ({missing})", file=sys.stderr)
    for entry in arguments.ggml:
        name, library = entry.split("=", 1)
        yield from ggml_encoders(name, library, importance.numpy()).items()


def run_ours(arguments, matrix, inputs, folder):
    command = [arguments.bench, matrix, "--inputs", inputs, "--repeat", "1", "--json", "--write", folder]
    if arguments.ours:
        command += ["--encoders", arguments.ours]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("matrix", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ggml", action="append", default=[], metavar="NAME=LIBRARY")
    parser.add_argument("--ours", help="only these of our encoders, separated by commas")
    parser.add_argument("--without", action="append", default=[], help="modelopt or llm-compressor")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        matrix, weight = read_matrix(arguments.matrix, folder)
        inputs, importance = make_inputs(weight.shape[1])
        save_file({"inputs": inputs, "importance": importance}, folder / "inputs.safetensors")
        exact = weight.float()
        norm, output_norm = exact.double().norm().item(), (inputs @ exact.T).double().norm().item()
        others = dict(peers(arguments, importance))
        for turn in range(arguments.rounds):
            for line in run_ours(arguments, matrix, folder / "inputs.safetensors", folder):
                row = rows.setdefault(OURS[line["encoder"]], {"cpu": [], "wall": []})
                row["weight_error"], row["output_error"] = line["weight_error"], line["output_error"]
                row["cpu"].append(line["cpu_seconds"])
                row["wall"].append(line["wall_seconds"])
            for label, encode in others.items():
                row = rows.setdefault(label, {"cpu": [], "wall": []})
                given = exact if label.split()[0] in GGML_TYPES else weight.clone()
                cpu, wall = time.process_time(), time.perf_counter()
                decode = encode(given)
                row["cpu"].append(time.process_time() - cpu)
                row["wall"].append(time.perf_counter() - wall)
                if turn == 0:
                    difference = decode() - exact
                    row["weight_error"] = difference.double().norm().item() / norm
                    row["output_error"] = (inputs @ difference.T).double().norm().item() / output_norm
                    if hasattr(decode, "codes"):
                        kind = "_".join(label.split()[:-1])
                        ours = (folder / f"{kind}.codes").read_bytes()
                        same = (numpy.frombuffer(ours, numpy.uint8) == numpy.frombuffer(decode.codes, numpy.uint8)).mean()
                        row["bytes_equal_to_ours"] = float(same)
            print(f"round {turn + 1} of {arguments.rounds}", file=sys.stderr)
    print(f"| {'encoder':<38} | weight error | output error | CPU s | wall s | bytes equal to ours |")
    print("|---|---|---|---|---|---|")
    for label in sorted(rows, key=lambda key: (key.split()[0], key.split()[1] != "weighted", rows[key]["weight_error"])):
        row = rows[label]
        equal = row.get("bytes_equal_to_ours")
        print(f"| {label:<38} | {row['weight_error'] * 100:.3f} % | {row['output_error'] * 100:.3f} % "
              f"| {statistics.median(row['cpu']):.3f} | {statistics.median(row['wall']):.3f} "
              f"| {'' if equal is None else 'all' if equal == 1 else f'{equal * 100:.4f} %'} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
