#!/usr/bin/env python3
"""Runs sluice on big models as a user would and prints a row for docs/performance.md each.

For every model: the plan, then one answer with the page cache cold (needs root to drop it; skipped by name
otherwise) and one with it warm. Peak memory is the highest RssAnon + RssShmem, sampled every 20 ms, which is what
`sluice plan` promises. The read floor is measured by matmul_bench's plain reader just before each model.

Usage: benchmarks/real_input.py [--bin build/release/bin] [--max-tokens 16] MODEL...
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time


def peak_memory(process, result):
    status = pathlib.Path(f"/proc/{process.pid}/status")
    peak = 0
    while process.poll() is None:
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            anonymous = sum(int(fields.get(key, "0 kB").split()[0]) for key in ("RssAnon", "RssShmem"))
            peak = max(peak, anonymous * 1024)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            break
        time.sleep(0.02)
    result.append(peak)


def drop_page_cache():
    try:
        os.sync()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        return True
    except OSError:
        return False


def model_bytes(model):
    path = pathlib.Path(model)
    files = [path] if path.is_file() else path.glob("*.safetensors")
    return sum(file.stat().st_size for file in files)


def read_floor(folder):
    """Median of the plain reader over 0.5 GB, all threads, in GB/s; nothing when the program was not built."""
    program = folder / "matmul_bench"
    if not program.exists():
        return None
    text = subprocess.run([program, "--megabytes", "500", "--batch", "1", "--rounds", "5", "q8_0"],
                          capture_output=True, text=True).stdout
    found = re.search(r"read[^0-9]*([0-9.]+) GB/s", text)
    return float(found.group(1)) if found else None


def run(program, model, arguments):
    command = [program, "generate", model, *arguments, "--json", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = []
    sampler = threading.Thread(target=peak_memory, args=(process, peak))
    sampler.start()
    output, errors = process.communicate()
    sampler.join()
    if process.returncode != 0:
        sys.exit(f"{model}: exit {process.returncode}: {errors}{output}")
    return json.loads(output)["timings"], peak[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--max-tokens", default="16")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of the prompt")
    parser.add_argument("--draft-depth", default="0")
    parser.add_argument("--context", default="2048")
    options = parser.parse_args()
    program = options.bin / "sluice"

    print("| model | bytes | page cache | load | prompt | decode | read floor | planned / measured peak | load average |")
    print("|---|---|---|---|---|---|---|---|---|")
    for model in options.models:
        plan = json.loads(subprocess.run([program, "plan", model, "--context", options.context, "--sequences", "1",
                                          "--draft-depth", options.draft_depth, "--json"],
                                         capture_output=True, text=True).stdout)
        ids = ",".join(str(1 + i) for i in range(options.prompt))
        arguments = ["--ids", ids, "--max-tokens", options.max_tokens, "--temperature", "0", "--ignore-eos",
                     "--context", options.context, "--draft-depth", options.draft_depth]
        for cache in ("cold", "warm"):
            if cache == "cold" and not drop_page_cache():
                print(f"SKIPPED: {model} with a cold page cache: needs root", file=sys.stderr)
                continue
            floor = read_floor(options.bin) if cache == "warm" else None
            timings, peak = run(program, model, arguments)
            print(f"| {pathlib.Path(model).name} | {model_bytes(model):,} | {cache} | {timings['load_ms'] / 1000:.1f} s "
                  f"| {timings['prompt_tps']:.1f} | {timings['decode_tps']:.2f} "
                  f"| {f'{floor:.1f} GB/s' if floor else '-'} | {plan['total']:,} / {peak:,} "
                  f"| {os.getloadavg()[0]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
