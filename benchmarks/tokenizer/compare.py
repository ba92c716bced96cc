#!/usr/bin/env python3
"""Speed of our tokenizer beside Hugging Face's library, on the same file in the same run, one core each.

usage: compare.py TOKENIZER_BENCH TOKENIZER_JSON TEXT...      (needs: pip install tokenizers)

The two are run in turn, several rounds, and the best round of each is printed, in processor time: on a shared
machine that is what the program can do, the rest is what the neighbours left. Also checks that both give the
same number of tokens.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402  (reads the variables above)

ROUNDS = 3


def reference_speed(tokenizer, text):
    begin = time.process_time()
    encoding = tokenizer.encode(text, add_special_tokens=False)
    seconds = time.process_time() - begin
    return len(text.encode()) / 1e6 / seconds, len(encoding.ids)


def our_speed(program, tokenizer_json, text_file):
    out = subprocess.run([program, tokenizer_json, text_file, "5"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def main():
    program, tokenizer_json, *files = sys.argv[1:]
    begin = time.process_time()
    tokenizer = tokenizers.Tokenizer.from_file(tokenizer_json)
    load = time.process_time() - begin
    print(f"tokenizers {tokenizers.__version__}: loads in {load:.2f} s")
    for file in files:
        text = pathlib.Path(file).read_text()
        theirs, ours = 0.0, []
        for _ in range(ROUNDS):
            speed, count = reference_speed(tokenizer, text)
            theirs = max(theirs, speed)
            ours.append(our_speed(program, tokenizer_json, file))
        assert all(run["tokens"] == count for run in ours), (count, ours)
        best = {key: max(run[key] for run in ours) for key in ("encode_cold_mb_s", "encode_warm_mb_s")}
        print(f"{pathlib.Path(file).name}: {len(text.encode())} bytes, {count} tokens; "
              f"sluice {best['encode_cold_mb_s']:.1f} MB/s cold, {best['encode_warm_mb_s']:.1f} warm, "
              f"loads in {min(run['load_s'] for run in ours):.2f} s, {ours[0]['memory_bytes'] / 1e6:.1f} MB; "
              f"tokenizers {theirs:.1f} MB/s")


if __name__ == "__main__":
    main()
