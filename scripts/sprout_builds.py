#!/usr/bin/env python3
"""Builds the demo model in every target that sluice writes, each measured against the source, and
puts the table of all reports into docs/sprout-builds.md.

    scripts/sprout_builds.py [FOLDER]     builds, texts and logs go to FOLDER (build/sprout_builds)

Needs nothing but the program (SLUICE names another one) and Python's own library. Texts come from
`sluice corpus`, so that a run on the same model and machine gives the same table.
"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SLUICE = os.environ.get("SLUICE", str(ROOT / "build/release/bin/sluice"))
MODEL = ROOT / "models/sprout"
PAGE = ROOT / "docs/sprout-builds.md"
BEGIN, END = "<!-- builds -->", "<!-- end of builds -->"

SEED = 2  # not the one that the model was trained on
CALIBRATION_CONVERSATIONS = 120
REPORT = ["--report-context", "256", "--report-tokens", "8192"]

SAFETENSORS = [
    ["fp8_block"],
    ["fp8_block", "--layout", "compressed-tensors"],
    ["fp8_channel"],
    ["fp8_channel", "--layout", "modelopt"],
    ["nvfp4"],
    ["nvfp4", "--layout", "modelopt"],
    ["nvfp4_a4", "RANGES"],
    ["nvfp4_a4", "--layout", "modelopt", "RANGES"],
    ["nvfp4_a8"],
    ["w4a8_nvfp4", "RANGES"],
    ["mixed"],
]
VARIANTS = [
    ["nvfp4", "--search", "none"],
    ["nvfp4", "--keep-mtp", "same"],
    ["fp8_channel", "--keep-mtp", "same"],
    ["fp8_block", "--layout", "compressed-tensors", "--kv-scales", "RANGES"],
    ["nvfp4", "--layout", "modelopt", "--kv-scales", "RANGES"],
]
GGUF = [
    ["f16"],
    ["bf16"],
    ["q8_0"],
    ["q6_k"],
    ["q5_k_m"],
    ["q5_k_m", "--older-mixture"],
    ["q4_k_m"],
    ["q4_k_m", "--older-mixture"],
    ["q4_k_m", "--imatrix"],
    ["q4_k_m", "--keep-mtp", "same"],
    ["iq4_xs"],
    ["q4_0"],
]


def run(arguments, log=None, stdin=None):
    """Standard output of sluice; ends the script with the program's own words if it fails."""
    done = subprocess.run([SLUICE, *map(str, arguments)], input=stdin, capture_output=True, text=True)
    if log is not None:
        log.write_text(done.stderr)
    if done.returncode != 0:
        sys.exit(f"sluice {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done.stdout


def make_texts(folder):
    """A calibration file of training conversations, and a plain text of held-out ones."""
    corpus = folder / "corpus"
    run(["corpus", corpus, "--seed", SEED, "--samples", "2000", "--held-out", "20", "--overwrite"])

    def conversations(name):
        lines = (corpus / name).read_text().splitlines()
        return [line for line in lines if "messages" in json.loads(line)]

    calibration = folder / "calibration.jsonl"
    calibration.write_text("\n".join(conversations("train.jsonl")[:CALIBRATION_CONVERSATIONS]) + "\n")
    requests = "\n".join(conversations("held_out.jsonl")) + "\n"
    rendered = run(["template", MODEL, "--jsonl", "-"], stdin=requests)
    report = folder / "report.txt"
    report.write_text("".join(json.loads(line)["prompt"] for line in rendered.splitlines()))
    return calibration, report


def check_card(folder, card):
    """Every file that the model card shows must be there."""
    for target in re.findall(r"\]\(([^)]+)\)", card.read_text()):
        if not (folder / target).is_file():
            sys.exit(f"{card}: {target} is not there")


def percent(value, digits=2):
    return f"{100 * value:.{digits}f} %"


def label(words):
    """A target with its flags as the table names it: nvfp4, `--layout modelopt`."""
    flags = []
    for word in words[1:]:
        if word.startswith("--"):
            flags.append(word)
        else:
            flags[-1] += " " + word
    return ", ".join([words[0], *(f"`{flag}`" for flag in flags)])


def row(name, report):
    formats = report["formats"].items()
    errors = [f"{name} {percent(entry['error_rms'])}" for name, entry in formats if entry["error_rms"] > 0]
    outputs = [
        f"{percent(entry['output_error_rms']['written'])} (plainly {percent(entry['output_error_rms']['plain'])})"
        for _, entry in formats
        if "output_error_rms" in entry
    ]
    proof = report["proof"]
    drafts = proof.get("acceptance", {}).get("after", [])
    return [
        name,
        f"{report['bytes'] / 1e6:.2f}",
        f"{report['bits_per_weight']:.2f}",
        ", ".join(errors) or "0",
        ", ".join(outputs),
        f"{proof['kld']['mean']:.2g}",
        f"{proof['kld']['p99']:.2g}",
        f"{proof['kld']['p99_9']:.2g}",
        percent(proof["same_top"], 1),
        f"{proof['ppl']['after']:.2f}",
        ", ".join(f"{100 * value:.1f}" for value in drafts),
    ]


HEAD = [
    "`--to`", "MB", "bits per weight", "weight error", "output error", "KL mean", "KL 99 %", "KL 99.9 %",
    "same top", "perplexity", "drafts held by position, %",
]  # fmt: skip


def table(rows):
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows])


def write_page(rows, proof, total):
    weights = MODEL / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    drafts = ", ".join(f"{100 * value:.1f}" for value in proof["acceptance"]["before"])
    facts = (
        f"Source: `models/sprout`, {weights.stat().st_size / 1e6:.2f} MB in BF16, SHA-256 "
        f"{digest[:12]}; perplexity {proof['ppl']['before']:.2f}, drafts {drafts} %; "
        f"{proof['tokens']:,} scored tokens."
    )
    if len(rows) < total:
        facts += f" {len(rows)} of {total} builds: the script was stopped."
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{facts}\n\n{table(rows)}\n{END}{after}")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/sprout_builds")
    folder.mkdir(parents=True, exist_ok=True)
    calibration, text = make_texts(folder)
    imatrix, ranges = folder / "imatrix.gguf", folder / "ranges.json"
    for old in (imatrix, ranges):
        old.unlink(missing_ok=True)
    run(["calibrate", MODEL, "--file", calibration, "--out", imatrix, "--ranges", ranges, "--context", "512"])
    files = {"RANGES": ["--ranges", ranges], "--imatrix": ["--imatrix", imatrix]}
    gptq = ["--method", "gptq", "--calibration-text", calibration]
    builds = [(flags, method, "") for flags in SAFETENSORS for method in ("plain", "gptq")]
    builds += [(flags, "plain", "") for flags in VARIANTS]
    builds += [(flags, "plain", ".gguf") for flags in GGUF]
    rows = []
    for number, (flags, method, suffix) in enumerate(builds, 1):
        words = [flag for flag in flags if flag != "RANGES"] + (["--method", "gptq"] if method == "gptq" else [])
        name = "_".join(word.strip("-") for word in words)
        print(f"{number} of {len(builds)}: {' '.join(words)}", flush=True)
        arguments = ["quantize", MODEL, folder / (name + suffix), "--to"]
        for flag in flags:
            arguments += files.get(flag, [flag])
        arguments += gptq if method == "gptq" else []
        arguments += ["--report-text", text, *REPORT, "--overwrite", "--json"]
        report = json.loads(run(arguments, log=folder / f"{name}.log"))
        place = folder if suffix else folder / name
        check_card(place, place / (f"{name}.README.md" if suffix else "README.md"))
        rows.append(row(label(words), report))
        write_page(rows, report["proof"], len(builds))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
