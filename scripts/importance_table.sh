#!/usr/bin/env bash
# What an importance matrix of our own is worth on the demo model: quantized with and without it, compared with the source.
#
# usage: scripts/importance_table.sh [SLUICE [MODEL [WORK]]]     (build/release/bin/sluice, models/sprout, build/importance_table)
#
# Conversations of all kinds are read for the matrix. Compared is on others, from another seed, of eight kinds without tools, rendered by the
# model's template. A few minutes. Environment: CALIBRATION (conversations, 300), REPORT_TOKENS (of the others, 8000), TYPES, THREADS,
# PYTHON (one with jinja2, python3).
set -euo pipefail
cd "$(dirname "$0")/.."
sluice=${1:-build/release/bin/sluice} model=${2:-models/sprout} work=${3:-build/importance_table}
threads=${THREADS:+--threads $THREADS}
mkdir -p "$work"
"$sluice" corpus "$work/corpus" --seed 2 --samples 2000 --held-out 0 --overwrite -q >/dev/null
head -n "${CALIBRATION:-300}" "$work/corpus/train.jsonl" >"$work/calibration.jsonl"
"$sluice" corpus "$work/others" --seed 3 --samples 400 --held-out 0 --overwrite -q >/dev/null \
  --kinds addition,subtraction,word_problem,number_choice,fact_choice,lookup,recipe,about_sluice
"$sluice" calibrate "$model" --file "$work/calibration.jsonl" --out "$work/imatrix.gguf" --context 2048 --overwrite -q $threads
"${PYTHON:-python3}" - "$model/chat_template.jinja" "$work/others/train.jsonl" >"$work/others.txt" <<'PY'
import json
import sys

import jinja2

template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(open(sys.argv[1]).read())
for line in open(sys.argv[2]):
    conversation = json.loads(line)
    sys.stdout.write(template.render(messages=conversation["messages"], **conversation.get("chat_template_kwargs", {})))
PY
for type in ${TYPES:-q4_k_m q4_0 iq4_xs}; do
  for importance in without with; do
    given=()
    [[ $importance == with ]] && given=(--imatrix "$work/imatrix.gguf")
    "$sluice" quantize "$model" "$work/$type-$importance.gguf" --to "$type" --keep-mtp same --overwrite -q $threads "${given[@]}" \
      --report-text "$work/others.txt" --report-context 256 --report-tokens "${REPORT_TOKENS:-8000}" --accept draft-acceptance >/dev/null
  done
done
"${PYTHON:-python3}" - "$work" ${TYPES:-q4_k_m q4_0 iq4_xs} <<'PY'
import json
import sys

work, types = sys.argv[1], sys.argv[2:]
print("| `--to` | importance | MB | weight error, rms | KL mean | KL 99 % | KL 99.9 % | same top | perplexity |")
print("|---|---|---|---|---|---|---|---|---|")
for kind in types:
    for importance in ("without", "with"):
        with open(f"{work}/{kind}-{importance}.quantization_report.json") as file:
            report = json.load(file)
        proof, errors = report["proof"], {}
        for tensor in report["tensors"]:
            errors.setdefault(tensor["format"], []).append(tensor["error"])
        rms = {name: (sum(error * error for error in found) / len(found)) ** 0.5 for name, found in errors.items()}
        lossy = ", ".join(f"{name} {100 * value:.2f} %" for name, value in sorted(rms.items()) if value > 0.001)
        print(f"| {kind} | {importance} | {report['bytes'] / 1e6:.2f} | {lossy} | {proof['kld']['mean']:.4f} | {proof['kld']['p99']:.3f} "
              f"| {proof['kld']['p99_9']:.3f} | {100 * proof['same_top']:.1f} % | {proof['ppl']['after']:.2f} |")
print(f"{proof['tokens']} scored tokens; source: perplexity {proof['ppl']['before']:.2f}")
PY
