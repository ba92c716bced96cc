#!/usr/bin/env python3
"""Cuts a published tokenizer.json to a few kB for tests that always run, and records ids for it.

usage: tokenizer_small.py TOKENIZER_JSON DATA_FOLDER      (needs: pip install tokenizers)

Writes small_tokenizer.json (byte alphabet, the first merges as strings, and a few added
tokens of each kind) and small_goldens.json (texts with the ids that Hugging Face's library gives them).
"""

import json
import pathlib
import random
import sys

import tokenizers

MERGES = 150
KEPT_ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>",
              "<think>", "</think>", "<tts_text_bos>", "<tts_text_bos_single>"]
# Not in the published file: tokens of a fine-tune, searched in normalized text, and one that begins another.
EXTRA_ADDED = [("<|im_", False), ("\u00c5ngstr\u00f6m", True), ("[TAG]", True), ("[TAG]\u0301x", True)]

POOLS = [
    "abcdefgs t 'S'T'rE'LL'd'm'v ", " \n\r\t\u00a0\u2003\u3000\u180e\x0b\x0c\x85\u2028", "0123456789\u0663\u096a\u2167\u00b2",
    "\u00e9\u00e0\u00fc\u00f1\u00c5\u0301\u0308\u0327\u0323\u0300K\u212b\u017f", "<|im_start|>thinkool_response/[TAG]",
    "\u4f60\u597d\u4e16\u754c\u3002\uff0c", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0b95\u0bcd \u0e44\u0e17\u0e22",
    "\uac00\uac01\u1100\u1161\u11a8", "\U0001f469\u200d\U0001f467\U0001f3fd\U0001f389", "._-+=*/#@!?;:()[]{}",
    "\u0f73\u0f71\u0f72\u0344\u0340\u0958\ufb2c\U0001d15e", "\u089a\u1dfa\u0d3b\u0316\u0301",
]
FIXED = [
    "", " ", "\n", "It was on a dreary night of November that I beheld the accomplishment of my toils.",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", "<|im_star", "<|im_<|im_end|>",
    "<tts_text_bos_single>", "<tts_text_bos_singl", "A\u030angstro\u0308m \u00c5ngstr\u00f6m A\u030angstr\u00f6m",
    "[TAG]\u0301", "[TAG]\u0301x", "[TAG][TAG] \u037e[TAG]", "e\u0301<think>\u0301e", "   x", "a\n \n b", "they'LL we'\u017fa 'S",
    "a" * 70, "ab" * 40, "\u0301\u0316" * 20, "0" * 12,
]


def cut(published):
    model = published["model"]
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"][:MERGES]]
    alphabet = [token for token in model["vocab"] if len(token) == 1 and model["vocab"][token] < 256]
    assert len(alphabet) == 256
    tokens = alphabet + list(dict.fromkeys(left + right for left, right in pairs))
    vocab = {token: i for i, token in enumerate(sorted(tokens, key=model["vocab"].get))}
    added = [dict(a) for a in published["added_tokens"] if a["content"] in KEPT_ADDED]
    added += [{**added[0], "content": content, "normalized": normalized, "special": False}
              for content, normalized in EXTRA_ADDED]
    for i, token in enumerate(added):
        token["id"] = len(vocab) + i
    model = {**model, "vocab": vocab, "merges": [" ".join(pair) for pair in pairs]}
    return {**published, "added_tokens": added, "model": model}


def texts(added):
    generator = random.Random(7)
    yield from FIXED
    for _ in range(160):
        text = ""
        for _ in range(generator.randint(1, 6)):
            kind = generator.random()
            if kind < 0.2:
                text += generator.choice(added)
            elif kind < 0.3:
                text += generator.choice(added)[:generator.randint(1, 8)]
            else:
                pool = generator.choice(POOLS)
                text += "".join(generator.choice(pool) for _ in range(generator.randint(1, 6)))
        yield text


def main():
    published, folder = json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])
    small = cut(published)
    text = json.dumps(small, ensure_ascii=False, separators=(",", ":"))
    (folder / "small_tokenizer.json").write_text(text + "\n")
    reference = tokenizers.Tokenizer.from_str(text)
    entries = [{"text": t, "ids": reference.encode(t, add_special_tokens=False).ids}
               for t in texts([a["content"] for a in small["added_tokens"]])]
    goldens = {"origin": f"tests/reference/tokenizer_small.py with tokenizers {tokenizers.__version__}",
               "entries": entries}
    lines = json.dumps(goldens, separators=(",", ":")).replace('{"text"', '\n{"text"')
    (folder / "small_goldens.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
