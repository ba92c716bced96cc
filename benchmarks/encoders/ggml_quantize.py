#!/usr/bin/env python3
"""What llama.cpp's quantizer spends in ggml on a model, and whether its bytes are ours.

usage: ggml_quantize.py SOURCE.gguf OURS.gguf LIBGGML_BASE.so OUT [--threads 2]     (needs: pip install gguf)

OURS is what `sluice quantize SOURCE.gguf OURS.gguf --to TYPE` wrote. Each of its tensors is made again from SOURCE
as llama-quantize does: rows to F32, ggml_quantize_chunk and ggml_validate_row_data on chunks of rows by all
threads, and the bytes to a file. No importance matrix. Prints seconds by the clock and of processor time, and how
many tensors came out with our bytes. For machines where building all of llama.cpp takes too long.
"""

import argparse
import concurrent.futures
import ctypes
import os
import time

import gguf
import numpy

CHUNK = 32 * 512  # values a thread takes at a time at least, as in llama-quantize


def open_library(path):
    ggml = ctypes.CDLL(path)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    ggml.ggml_validate_row_data.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    ggml.ggml_validate_row_data.restype = ctypes.c_bool
    ggml.ggml_bf16_to_fp32_row.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    return ggml


def make(ggml, pool, threads, source, kind):
    """Bytes of `source`, a tensor of the reader in BF16, as `kind`."""
    columns, rows = int(source.shape[0]), int(source.n_elements // source.shape[0])
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    row_bytes = columns // elements * size
    values, out = numpy.empty((rows, columns), numpy.float32), numpy.empty((rows, row_bytes), numpy.uint8)
    step = max(1, -(-CHUNK // columns))
    share = -(-rows // threads)

    def widen(first):
        count = min(share, rows - first)
        if count > 0:
            ggml.ggml_bf16_to_fp32_row(source.data.ctypes.data + 2 * first * columns, values[first].ctypes.data, count * columns)

    def encode(first):
        for begin in range(first, rows, threads * step):
            count = min(step, rows - begin)
            ggml.ggml_quantize_chunk(int(kind), values.ctypes.data, out.ctypes.data, begin * columns, count, columns, None)
            if not ggml.ggml_validate_row_data(int(kind), out[begin].ctypes.data, count * row_bytes):
                raise SystemExit(f"{source.name}: invalid")

    list(pool.map(widen, range(0, rows, share)))
    list(pool.map(encode, range(0, threads * step, step)))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("source", "ours", "library", "out"):
        parser.add_argument(name)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    ggml = open_library(arguments.library)
    source = {tensor.name: tensor for tensor in gguf.GGUFReader(arguments.source).tensors}
    ours = gguf.GGUFReader(arguments.ours).tensors
    wall, cpu, same, made, values = 0.0, 0.0, 0, 0, 0
    with concurrent.futures.ThreadPoolExecutor(arguments.threads) as pool, open(arguments.out, "wb") as file:
        for tensor in ours:
            before = time.perf_counter(), time.process_time()
            given = source[tensor.name]
            encoded = given.data
            if tensor.tensor_type != given.tensor_type:
                encoded = make(ggml, pool, arguments.threads, given, tensor.tensor_type)
            file.write(memoryview(encoded).cast("B"))
            wall, cpu = wall + time.perf_counter() - before[0], cpu + time.process_time() - before[1]
            if tensor.tensor_type != given.tensor_type:
                made, values = made + 1, values + int(tensor.n_elements)
                same += encoded.tobytes() == tensor.data.tobytes()
    os.remove(arguments.out)
    print(f"{made} tensors of {values / 1e6:.0f} million values: {wall:.1f} s by the clock, {cpu:.1f} s of processor time; "
          f"{same} of {made} have our bytes")


if __name__ == "__main__":
    main()
