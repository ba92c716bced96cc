#!/usr/bin/env python3
"""lm-evaluation-harness 0.4.13 against /v1/completions, its log-likelihoods beside those of `sluice logits`.

A task of its own (texts from this file, no download); prompts go as tokens, with echo and logprobs. By hand, since the
harness brings a gigabyte of packages:  pip install lm-eval safetensors numpy, then
  tests/clients/lm_eval_parity.py --program build/release/bin/sluice --model models/sprout
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from safetensors.numpy import load_file

CONTEXTS = ["The gate of the sluice is", "2 + 2 =", "Rain fell for three days, and then", "A mill wheel turns because",
            "Question: What is a channel?\nAnswer:", "def open(share):\n    return", "Der Müller öffnet das Tor, und",
            "One two three four five six seven eight nine"]
ENDINGS = [" closed.", " 4", " the river rose over its banks and the gates were opened one after the other.",
           " water pushes it.", " A way for water.\n", " share * 2", " das Wasser fließt.", " ten"]
TASK = """task: sluice_parity
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{ending}}}}"
target_delimiter: ""
metric_list:
  - metric: perplexity
    aggregation: perplexity
    higher_is_better: false
"""


def harness(url, folder):
    data = folder / "data.jsonl"
    documents = [{"context": context, "ending": ending} for context in CONTEXTS for ending in ENDINGS]
    data.write_text("".join(json.dumps(document) + "\n" for document in documents))
    (folder / "sluice_parity.yaml").write_text(TASK.format(data=data))
    arguments = f"base_url={url}/v1/completions,model=parity,tokenized_requests=True,num_concurrent=4,max_retries=1"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf"),
                   "TRANSFORMERS_OFFLINE": "1"}
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args", arguments,
               "--tasks", "sluice_parity", "--include_path", str(folder), "--log_samples", "--output_path",
               str(folder / "out")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(ran.stderr[-5000:])
    (samples,) = (folder / "out").rglob("samples_*.jsonl")
    return [json.loads(line) for line in samples.read_text().splitlines()]


def ids(program, model, text):
    shown = subprocess.run([program, "tokenize", model, "--text", text, "--json"], check=True, capture_output=True, text=True)
    return json.loads(shown.stdout)["ids"]


def own(program, model, context, ending, folder):
    """Sum of the ending's log probabilities and whether each of its tokens is the likeliest, from `sluice logits`."""
    before = ids(program, model, context)
    whole = ids(program, model, context + ending)
    out = folder / "logits.safetensors"
    subprocess.run([program, "logits", model, "--ids", ",".join(map(str, whole)), "--positions", "all", "--context", "512",
                    "--out", str(out), "--overwrite", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    logits = load_file(out)["logits"].astype(numpy.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logprobs = logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))
    rows = range(len(before) - 1, len(whole) - 1)
    values = [logprobs[row, whole[row + 1]] for row in rows]
    greedy = all(logprobs[row].argmax() == whole[row + 1] for row in rows)
    return sum(values), len(values), greedy


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/bin/sluice")
    parser.add_argument("--model", default="models/sprout")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = subprocess.Popen([options.program, "serve", options.model, "--alias", "parity", "--port", "0",
                                   "--context", "512", "--drain-grace", "0", "--quiet"], stdout=subprocess.PIPE, text=True)
        try:
            samples = harness(server.stdout.readline().split()[3], folder)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
        worst, tokens, disagreements = 0.0, 0, 0
        for sample in samples:
            likelihood, greedy = sample["filtered_resps"][0]
            expected, count, expected_greedy = own(options.program, options.model, sample["doc"]["context"],
                                                   sample["doc"]["ending"], folder)
            worst = max(worst, abs(float(likelihood) - expected) / count)
            disagreements += (str(greedy) == "True") != expected_greedy
            tokens += count
    print(f"{len(samples)} documents, {tokens} scored tokens: log-likelihoods differ by at most {worst:.2e} a token, "
          f"is_greedy differs in {disagreements}")
    # The bits of a row do not depend on its company: what is left is the rounding of a float32 logarithm.
    return 0 if samples and worst < 1e-5 and disagreements == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
