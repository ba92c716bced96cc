"""Compares a trained tokenizer's ids: ours against the Hugging Face tokenizers.

usage: tokenizer_trained.py FOLDER < PROMPTS

FOLDER holds tokenizer.json. PROMPTS is what `sluice template FOLDER --jsonl held_out.jsonl --ids`
prints: one {"prompt", "ids"} a line.
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer


def main() -> int:
    tokenizer = Tokenizer.from_file(str(pathlib.Path(sys.argv[1]) / "tokenizer.json"))
    lines = different = tokens = 0
    for line in sys.stdin:
        item = json.loads(line)
        theirs = tokenizer.encode(item["prompt"]).ids
        lines += 1
        tokens += len(theirs)
        if theirs != item["ids"]:
            different += 1
            print("different:", json.dumps(item["prompt"])[:200])
    print(f"{lines} prompts, {tokens} tokens, {different} different")
    return 1 if different or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
