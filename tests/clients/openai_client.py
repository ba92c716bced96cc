"""The openai package against the scripted engine: what it sends is taken, what it reads adds up."""

import asyncio
import json
import time
import unittest
from typing import Literal

from serving import WEATHER, Server, main, require

openai = require("openai", "3.54")
from openai import AsyncOpenAI, OpenAI  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]


def say(text):
    return [{"role": "user", "content": text}]


class OpenAIClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--api-key", "k", "--sequences", "2", "--max-queue", "2")
        cls.client = OpenAI(base_url=cls.server.url + "/v1", api_key="k", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        assert cls.server.stop() == 0

    def create(self, text, **more):
        return self.client.chat.completions.create(model="tiny", messages=say(text), **more)

    def test_create(self):
        answer = self.create("hi")
        message = answer.choices[0].message
        self.assertEqual(message.content, "Hello there, Köln! One END two.")
        self.assertEqual(message.reasoning_content, "Let me think.")
        self.assertIsNone(message.tool_calls)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertGreater(answer.usage.completion_tokens_details.reasoning_tokens, 0)
        self.assertTrue(answer._request_id)

    def test_stream_equals_create(self):
        for text in ("hi", "weather", "drafted"):
            whole = self.create(text, tools=TOOLS)
            with self.client.chat.completions.stream(
                model="tiny", messages=say(text), tools=TOOLS, stream_options={"include_usage": True}
            ) as stream:
                reasoning = ""
                for event in stream:
                    if event.type == "chunk" and event.chunk.choices:
                        reasoning += getattr(event.chunk.choices[0].delta, "reasoning", None) or ""
                final = stream.get_final_completion()
            self.assertEqual(reasoning, whole.choices[0].message.reasoning)
            self.assertEqual(final.choices[0].message.content, whole.choices[0].message.content)
            self.assertEqual(final.choices[0].finish_reason, whole.choices[0].finish_reason)
            self.assertEqual(final.usage.completion_tokens, whole.usage.completion_tokens)
            ours = whole.choices[0].message.tool_calls or []
            theirs = final.choices[0].message.tool_calls or []
            self.assertEqual([c.function.arguments for c in ours], [c.function.arguments for c in theirs])

    def test_tool_loop(self):
        first = self.create("weather", tools=TOOLS)
        self.assertEqual(first.choices[0].finish_reason, "tool_calls")
        call = first.choices[0].message.tool_calls[0]
        self.assertTrue(call.id.startswith("call_"))
        self.assertEqual(json.loads(call.function.arguments), {"city": "Köln", "days": 3})
        messages = say("weather") + [
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sun"},
        ]
        second = self.client.chat.completions.create(model="tiny", messages=messages, tools=TOOLS)
        self.assertEqual(second.choices[0].finish_reason, "stop")

    def test_stop_n_and_lengths(self):
        self.assertEqual(self.create("hi", stop="END").choices[0].message.content, "Hello there, Köln! One ")
        self.assertEqual(len(self.create("hi", n=3).choices), 3)
        short = self.create("hi", max_tokens=3)
        self.assertEqual((short.choices[0].finish_reason, short.usage.completion_tokens), ("length", 3))
        self.assertEqual(short.choices[0].message.content, "")

    def test_thinking_budget(self):
        answer = self.create("long thought", extra_body={"thinking_token_budget": 20})
        self.assertEqual(answer.choices[0].message.content, "Done.")
        self.assertEqual(answer.choices[0].reasoning_stop, "budget")
        self.assertLess(answer.usage.completion_tokens_details.reasoning_tokens, 30)

    def test_logprobs(self):
        choice = self.create("hi", logprobs=True, top_logprobs=1).choices[0]
        self.assertEqual("".join(t.token for t in choice.logprobs.content).strip(),
                         choice.message.content.replace("ö", "\ufffd\ufffd"))

    def test_completions(self):
        answer = self.client.completions.create(model="tiny", prompt=[[1, 2, 3], [4, 5]], max_tokens=2, echo=True,
                                                logprobs=1, temperature=0)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        for choice, length in zip(answer.choices, (3, 2)):
            self.assertEqual(len(choice.logprobs.tokens), length + 2)
            self.assertIsNone(choice.logprobs.token_logprobs[0])
        pieces = self.client.completions.create(model="tiny", prompt="x", max_tokens=5, stream=True)
        text = "".join(chunk.choices[0].text for chunk in pieces)
        self.assertEqual(text, self.client.completions.create(model="tiny", prompt="x", max_tokens=5).choices[0].text)

    def test_models(self):
        self.assertEqual([m.id for m in self.client.models.list()], ["tiny"])
        self.assertEqual(self.client.models.retrieve("tiny").id, "tiny")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("org/other")

    def test_errors(self):
        for error, more in ((openai.BadRequestError, {"temperature": 9}), (openai.BadRequestError, {"messages": []}),
                            (openai.NotFoundError, {"model": "other"})):
            with self.assertRaises(error) as caught:
                self.client.chat.completions.create(**{"model": "tiny", "messages": say("hi"), **more})
            self.assertTrue(caught.exception.request_id)
            self.assertTrue(caught.exception.body["message"])
        with self.assertRaises(openai.AuthenticationError):
            OpenAI(base_url=self.server.url + "/v1", api_key="wrong", max_retries=0).models.list()
        with self.assertRaises(openai.InternalServerError):
            self.create("fail")
        with self.assertRaises(openai.APIError):
            list(self.create("fail", stream=True))

    def test_leaving_ends_the_work(self):
        stream = self.create("slow", stream=True)
        next(iter(stream))
        stream.close()
        for _ in range(100):
            if '"finish":"abort"' in self.server.log.read_text():
                return
            time.sleep(0.05)
        self.fail("the request went on without its client")

    def test_async_and_the_full_queue(self):
        async def many():
            async with AsyncOpenAI(base_url=self.server.url + "/v1", api_key="k", max_retries=0) as client:
                calls = [client.chat.completions.create(model="tiny", messages=say("slow"), max_tokens=30)
                         for _ in range(8)]
                return await asyncio.gather(*calls, return_exceptions=True)

        results = asyncio.run(many())
        busy = [r for r in results if isinstance(r, openai.RateLimitError)]
        self.assertTrue(busy)
        self.assertTrue(all(r.response.headers["retry-after"] for r in busy))
        self.assertEqual(len(busy) + sum(not isinstance(r, Exception) for r in results), 8)

    def test_retry_after_a_full_queue(self):
        async def many():
            async with AsyncOpenAI(base_url=self.server.url + "/v1", api_key="k", max_retries=8) as client:
                calls = [client.chat.completions.create(model="tiny", messages=say("slow"), max_tokens=10)
                         for _ in range(8)]
                return await asyncio.gather(*calls)

        self.assertEqual(len(asyncio.run(many())), 8)

    def test_responses(self):
        tools = [{"type": "function", "name": "get_weather", "parameters": WEATHER}]
        whole = self.client.responses.create(model="tiny", input="weather", tools=tools)
        self.assertEqual([item.type for item in whole.output], ["reasoning", "message", "function_call"])
        self.assertEqual(whole.output_text.rstrip(), "Let me look.")
        with self.client.responses.stream(model="tiny", input="weather", tools=tools) as stream:
            numbers = [event.sequence_number for event in stream]
            final = stream.get_final_response()
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertEqual([i.type for i in final.output], [i.type for i in whole.output])
        self.assertEqual(final.output[2].arguments, whole.output[2].arguments)
        answered = self.client.responses.create(
            model="tiny", previous_response_id=whole.id, tools=tools,
            input=[{"type": "function_call_output", "call_id": whole.output[2].call_id, "output": "sun"}])
        self.assertEqual(answered.output_text, "Hello there, Köln! One END two.")
        self.assertEqual(self.client.responses.retrieve(whole.id).id, whole.id)
        self.client.responses.delete(whole.id)
        with self.assertRaises(openai.NotFoundError):
            self.client.responses.create(model="tiny", input="x", previous_response_id=whole.id)
        short = self.client.responses.create(model="tiny", input="hi", max_output_tokens=3)
        self.assertEqual((short.status, short.incomplete_details.reason), ("incomplete", "max_output_tokens"))


class Pear(BaseModel):
    """Bounded in all its parts: a model that knows nothing cannot go on for ever."""

    kind: Literal["fruit", "stone"]
    ripe: bool
    name: str = Field(max_length=12)
    spots: list[Literal[1, 2]] = Field(max_length=3)


class Paint(BaseModel):
    colour: Literal["red", "blue"]
    twice: bool


class Constrained(unittest.TestCase):
    """Structured output and forced tools of the demo model: right in form, whatever it says."""

    WAYS = ({"temperature": 0, "extra_body": {"enable_thinking": False}},
            {"temperature": 0.3, "seed": 5, "extra_body": {"thinking_token_budget": 20}})

    @classmethod
    def setUpClass(cls):
        cls.server = Server(answers=None)
        cls.client = OpenAI(base_url=cls.server.url + "/v1", api_key="k", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        assert cls.server.stop() == 0

    def ask(self, call, **more):
        return call(model="sprout", messages=say("Tell me about a pear."), max_tokens=1500, **more)

    def test_parse(self):
        for way in self.WAYS:
            answer = self.ask(self.client.chat.completions.parse, response_format=Pear, **way)
            self.assertIsInstance(answer.choices[0].message.parsed, Pear)
            self.assertEqual(answer.choices[0].finish_reason, "stop")

    def test_stream(self):
        with self.ask(self.client.chat.completions.stream, response_format=Pear, **self.WAYS[0]) as stream:
            final = stream.get_final_completion()
        self.assertIsInstance(final.choices[0].message.parsed, Pear)

    def test_forced_tools(self):
        tool = openai.pydantic_function_tool(Paint, name="paint")
        other = {"type": "function", "function": {"name": "other", "strict": True, "parameters": {
            "type": "object", "properties": {}, "required": [], "additionalProperties": False}}}
        named = {"type": "function", "function": {"name": "paint"}}
        allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
        for choice, reason in (("required", "tool_calls"), (named, "stop"), (allowed, "tool_calls")):
            for way in self.WAYS:
                answer = self.ask(self.client.chat.completions.parse, tools=[tool, other], tool_choice=choice,
                                  parallel_tool_calls=False, **way)
                calls = answer.choices[0].message.tool_calls
                self.assertEqual((len(calls), answer.choices[0].finish_reason), (1, reason))
                if calls[0].function.name == "paint":
                    self.assertIsInstance(calls[0].function.parsed_arguments, Paint)
                else:
                    self.assertEqual((choice, calls[0].function.name), ("required", "other"))

    def test_choice_and_objects(self):
        for way in self.WAYS:
            more = {**way, "extra_body": {**way["extra_body"], "guided_choice": ["granite", "gneiss"]}}
            self.assertIn(self.ask(self.client.chat.completions.create, **more).choices[0].message.content,
                          ("granite", "gneiss"))
        answer = self.ask(self.client.chat.completions.create, response_format={"type": "json_object"}, **self.WAYS[0])
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(answer.choices[0].message.content), dict)

    def test_responses(self):
        answer = self.client.responses.parse(model="sprout", input="A pear?", text_format=Pear, temperature=0)
        self.assertIsInstance(answer.output_parsed, Pear)
        tools = [{"type": "function", "name": "paint", "strict": True, "parameters": {
            "type": "object", "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
            "required": ["colour"], "additionalProperties": False}}]
        answer = self.client.responses.create(model="sprout", input="A pear?", tools=tools, tool_choice="required",
                                              parallel_tool_calls=False, temperature=0)
        call = [item for item in answer.output if item.type == "function_call"]
        self.assertEqual(len(call), 1)
        self.assertIn(json.loads(call[0].arguments)["colour"], ("red", "blue"))

    def test_refused_by_name(self):
        schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}
        with self.assertRaises(openai.BadRequestError) as caught:
            self.ask(self.client.chat.completions.create, response_format={
                "type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}})
        self.assertEqual(caught.exception.body["param"], "response_format")
        self.assertIn("'pattern'", caught.exception.body["message"])


if __name__ == "__main__":
    main()
