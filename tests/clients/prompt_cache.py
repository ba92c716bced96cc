"""Conversations with the demo model, turn by turn over both protocols: what is not read again, as usage says it."""

import json
import os
import re
import tempfile
import unittest
import urllib.request

from serving import Server, main

WORDS = "You keep a garden of pears, plums and apples, and you answer in a few words. " * 12
TOOL = {"type": "function", "function": {"name": "plant", "parameters": {
    "type": "object", "properties": {"tree": {"type": "string", "enum": ["pear", "plum"]}, "deep": {"type": "boolean"}},
    "required": ["tree", "deep"], "additionalProperties": False}}}


class PromptCache(unittest.TestCase):
    def server(self, *flags):
        server = Server("--sequences", "2", *flags, answers=None)
        self.addCleanup(server.folder.cleanup)
        self.addCleanup(lambda: self.assertEqual(server.stop(), 0))
        return server

    def post(self, server, path, body, key="k"):
        request = urllib.request.Request(
            server.url + path, json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def chat(self, server, messages, **more):
        body = {"messages": messages, "max_tokens": 60, "temperature": 0, **more}
        answer = self.post(server, "/v1/chat/completions", body)
        usage = answer["usage"]
        return answer["choices"][0], usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage

    def test_a_chat_reads_what_is_new(self):
        for reuse in ("on", "off"):
            server = self.server("--reuse-answers", reuse)
            messages, before, texts = [{"role": "system", "content": WORDS}], 0, []
            for question in ("Which tree?", "And then?", "How deep?", "Why?"):
                messages.append({"role": "user", "content": question})
                choice, prompt, cached, _ = self.chat(server, messages)
                # The answer's turn begins a few tokens behind the last border.
                self.assertGreaterEqual(cached, before - 63 - 8)
                self.assertGreater(cached, 0 if before else -1)
                before = prompt
                messages.append({"role": "assistant", "content": choice["message"]["content"]})
                texts.append(choice["message"]["content"])
            if reuse == "off":
                # The same bytes without a cache.
                cold = self.server("--prefix-cache", "0")
                for i, text in enumerate(texts):
                    choice, _, cached, _ = self.chat(cold, messages[:2 + 2 * i])
                    self.assertEqual((choice["message"]["content"], cached), (text, 0))

    def test_a_loop_of_tools_continues_its_answers(self):
        server = self.server()
        messages = [{"role": "system", "content": WORDS}, {"role": "user", "content": "Plant something."}]
        expected = 0
        for turn in range(4):
            choice, prompt, cached, usage = self.chat(
                server, messages, tools=[TOOL], tool_choice="required", max_tokens=300,
                parallel_tool_calls=False, thinking_token_budget=30)
            if turn:
                self.assertGreaterEqual(cached, expected)
            calls = choice["message"]["tool_calls"]
            self.assertEqual(len(calls), 1)
            # Of the answer all but its last token, which was never fed.
            expected = prompt + usage["completion_tokens"] - 1
            # As clients do it: keys in another order, other spaces. The model calls the same in several turns, thought
            # and all, not always in the same tokens.
            arguments = dict(sorted(json.loads(calls[0]["function"]["arguments"]).items()))
            calls[0]["function"]["arguments"] = json.dumps(arguments, indent=1)
            messages.append({"role": "assistant", "content": choice["message"]["content"], "tool_calls": calls,
                             "reasoning_content": choice["message"]["reasoning_content"]})
            messages.append({"role": "tool", "tool_call_id": calls[0]["id"], "content": f"done {turn}"})

    def test_a_restart_finds_its_prompts_on_disk(self):
        with tempfile.TemporaryDirectory() as folder:
            for reuse in ("on", "off"):
                flags = ("--reuse-answers", reuse, "--disk-cache", os.path.join(folder, reuse),
                         "--disk-cache-bytes", str(1 << 30))
                messages, before, texts = [{"role": "system", "content": WORDS}], 0, []
                for question in ("Which tree?", "And then?", "How deep?"):
                    messages.append({"role": "user", "content": question})
                    server = self.server(*flags)
                    choice, prompt, cached, _ = self.chat(server, messages)
                    self.assertGreaterEqual(cached, before - 63 - 8)
                    self.assertGreater(cached, 0 if before else -1)
                    with urllib.request.urlopen(server.url + "/metrics") as answer:
                        text = answer.read().decode()
                    disk = re.search(r'cached_by_source_total{[^}]*source="disk"[^}]*} (\d+)', text)
                    self.assertEqual(int(disk.group(1)), cached)
                    self.assertRegex(text, r"sluice:disk_cache_damaged_files_total{[^}]*} 0")
                    self.assertEqual(server.stop(), 0)
                    before = prompt
                    messages.append({"role": "assistant", "content": choice["message"]["content"]})
                    texts.append(choice["message"]["content"])
                if reuse == "off":
                    cold = self.server("--prefix-cache", "0")
                    for i, text in enumerate(texts):
                        choice, _, cached, _ = self.chat(cold, messages[:2 + 2 * i])
                        self.assertEqual((choice["message"]["content"], cached), (text, 0))

    def test_the_other_routes_for_prompts(self):
        server = self.server()
        body = {"messages": [{"role": "user", "content": "Which tree?"}]}
        for _ in range(3):
            self.assertIn("Which tree?", self.post(server, "/apply-template", body)["prompt"])
            count = self.post(server, "/v1/messages/count_tokens", {"model": "sprout", **body})["input_tokens"]
            self.assertGreater(count, 0)

    def test_anthropic_usage_adds_up(self):
        server = self.server()
        body = {"model": "sprout", "max_tokens": 40, "temperature": 0, "system": WORDS,
                "messages": [{"role": "user", "content": "Which tree?"}]}
        first = self.post(server, "/v1/messages", body)["usage"]
        second = self.post(server, "/v1/messages", body)["usage"]
        self.assertEqual(first["cache_read_input_tokens"], 0)
        self.assertGreater(second["cache_read_input_tokens"], 0)
        self.assertEqual(first["input_tokens"], second["input_tokens"] + second["cache_read_input_tokens"])
        salted = self.post(server, "/v1/messages", {**body, "cache_salt": "mine"})["usage"]
        self.assertEqual(salted["cache_read_input_tokens"], 0)


if __name__ == "__main__":
    main()
