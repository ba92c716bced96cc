"""The anthropic package against the scripted engine."""

import asyncio
import unittest
from typing import Literal

from serving import WEATHER, Server, main, require

anthropic = require("anthropic", "2.12")
from anthropic import Anthropic, AsyncAnthropic  # noqa: E402
from pydantic import BaseModel  # noqa: E402

TOOLS = [{"name": "get_weather", "input_schema": WEATHER}]


def say(text):
    return [{"role": "user", "content": text}]


class AnthropicClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--api-key", "k", "--sequences", "2", "--max-queue", "2")
        cls.client = Anthropic(base_url=cls.server.url, api_key="k", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        assert cls.server.stop() == 0

    def create(self, text, **more):
        return self.client.messages.create(**{"model": "claude-x", "max_tokens": 2000, "messages": say(text), **more})

    def test_create(self):
        message = self.create("hi")
        self.assertEqual([block.type for block in message.content], ["thinking", "text"])
        self.assertEqual(message.content[1].text, "Hello there, Köln! One END two.")
        self.assertTrue(message.content[0].signature)
        self.assertEqual(message.stop_reason, "end_turn")
        self.assertEqual(message.model, "claude-x")
        self.assertTrue(message._request_id.startswith("req_"))

    def test_stream_equals_create(self):
        for text in ("hi", "weather", "drafted"):
            whole = self.create(text, tools=TOOLS)
            with self.client.messages.stream(model="claude-x", max_tokens=2000, messages=say(text),
                                             tools=TOOLS) as stream:
                order = [event.index for event in stream if event.type == "content_block_start"]
                final = stream.get_final_message()
            self.assertEqual(order, list(range(len(order))))
            self.assertEqual([b.type for b in final.content], [b.type for b in whole.content])
            for ours, theirs in zip(whole.content, final.content):
                if ours.type == "tool_use":
                    self.assertEqual((ours.name, ours.input), (theirs.name, theirs.input))
                else:
                    kind = ours.type
                    self.assertEqual(getattr(ours, kind), getattr(theirs, kind))
            self.assertEqual(final.stop_reason, whole.stop_reason)
            self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)

    def test_tool_loop(self):
        first = self.create("weather", tools=TOOLS)
        self.assertEqual(first.stop_reason, "tool_use")
        call = first.content[-1]
        self.assertTrue(call.id.startswith("toolu_"))
        self.assertEqual(call.input, {"city": "Köln", "days": 3})
        history = say("weather") + [
            {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in first.content]},
            {"role": "user", "content": [{"type": "text", "text": "and then?"},
                                         {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}]},
            {"role": "system", "content": "x-anthropic-billing-header: cch=1\nBe brief."},
        ]
        self.assertEqual(self.create("", messages=history, tools=TOOLS).stop_reason, "end_turn")

    def test_stops_budgets_and_lengths(self):
        stopped = self.create("hi", stop_sequences=["END"])
        self.assertEqual((stopped.stop_reason, stopped.stop_sequence), ("stop_sequence", "END"))
        short = self.create("hi", max_tokens=1)
        self.assertEqual((short.stop_reason, short.usage.output_tokens), ("max_tokens", 1))
        self.assertEqual(short.content[-1].text, "")
        empty = self.create("hi", max_tokens=0)
        self.assertEqual((empty.stop_reason, empty.usage.output_tokens), ("max_tokens", 0))
        limited = self.create("long thought", thinking={"type": "enabled", "budget_tokens": 20})
        self.assertEqual(limited.content[-1].text, "Done.")
        self.assertLess(limited.usage.output_tokens_details.thinking_tokens, 30)
        thought = self.create("only thought")
        self.assertEqual([b.type for b in thought.content], ["thinking", "text"])

    def test_count_tokens(self):
        counted = self.client.messages.count_tokens(model="claude-x", messages=say("hi"), tools=TOOLS)
        self.assertEqual(counted.input_tokens, self.create("hi", tools=TOOLS).usage.input_tokens)

    def test_beta_and_models(self):
        message = self.client.beta.messages.create(model="claude-x", max_tokens=100, messages=say("hi"),
                                                   betas=["interleaved-thinking-2025-05-14"])
        self.assertEqual(message.stop_reason, "end_turn")
        self.assertEqual([m.id for m in self.client.models.list()], ["tiny"])

    def test_errors(self):
        for error, more in ((anthropic.BadRequestError, {"extra_body": {"temperature": 9}}),
                            (anthropic.BadRequestError, {"messages": []}),
                            (anthropic.NotFoundError, {"model": "other"})):
            with self.assertRaises(error) as caught:
                self.create("hi", **more)
            self.assertTrue(caught.exception.request_id.startswith("req_"))
            self.assertEqual(caught.exception.body["type"], "error")
        with self.assertRaises(anthropic.AuthenticationError):
            Anthropic(base_url=self.server.url, api_key="wrong", max_retries=0).models.list()
        Anthropic(base_url=self.server.url, auth_token="k", max_retries=0).models.list()
        with self.assertRaises(anthropic.InternalServerError):
            self.create("fail")
        with self.assertRaises(anthropic.APIError):
            with self.client.messages.stream(model="claude-x", max_tokens=99, messages=say("fail")) as stream:
                stream.get_final_message()

    def test_async_and_the_full_queue(self):
        async def many(retries):
            async with AsyncAnthropic(base_url=self.server.url, api_key="k", max_retries=retries) as client:
                calls = [client.messages.create(model="claude-x", max_tokens=20, messages=say("slow"))
                         for _ in range(8)]
                return await asyncio.gather(*calls, return_exceptions=True)

        busy = [r for r in asyncio.run(many(0)) if isinstance(r, anthropic.APIStatusError)]
        self.assertEqual({r.status_code for r in busy}, {529})
        self.assertEqual(sum(isinstance(r, Exception) for r in asyncio.run(many(8))), 0)


class Pear(BaseModel):
    kind: Literal["fruit", "stone"]
    ripe: bool


class Constrained(unittest.TestCase):
    """Structured output and forced tools of the demo model: right in form, whatever it says."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(answers=None)
        cls.client = Anthropic(base_url=cls.server.url, api_key="k", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        assert cls.server.stop() == 0

    def ask(self, call, **more):
        return call(**{"model": "claude-x", "max_tokens": 1500, "messages": say("Tell me about a pear."),
                       "extra_body": {"temperature": 0}, **more})

    def test_parse(self):
        for thinking in ({"type": "disabled"}, {"type": "enabled", "budget_tokens": 1024}):
            message = self.ask(self.client.messages.parse, output_format=Pear, thinking=thinking)
            self.assertIsInstance(message.parsed_output, Pear)
            self.assertEqual(message.stop_reason, "end_turn")

    def test_forced_tools(self):
        schema = {"type": "object", "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
                  "required": ["colour"], "additionalProperties": False}
        tools = [{"name": "paint", "strict": True, "input_schema": schema},
                 {"name": "other", "input_schema": {"type": "object", "properties": {}}}]
        for choice in ({"type": "any"}, {"type": "tool", "name": "paint"}):
            message = self.ask(self.client.messages.create, tools=tools,
                               tool_choice={**choice, "disable_parallel_tool_use": True})
            calls = [block for block in message.content if block.type == "tool_use"]
            self.assertEqual((len(calls), message.stop_reason), (1, "tool_use"))
            self.assertIn((calls[0].name, calls[0].input.get("colour")),
                          [("paint", "red"), ("paint", "blue"), ("other", None)])
        self.assertEqual(calls[0].name, "paint")

    def test_refused_by_name(self):
        schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.ask(self.client.messages.create, output_config={"format": {"type": "json_schema", "schema": schema}})
        self.assertIn("output_config.format", caught.exception.body["error"]["message"])


if __name__ == "__main__":
    main()
