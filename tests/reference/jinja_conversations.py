"""Random conversations for chat templates, well-formed and not. The same seed gives the same ones."""

import json
import random
import re

SPACES = ["", " ", "\n", "\n\n", "\t", "\u00a0", "\u2003", "\u3000", "\x1c", "\x85", "\u200b", " \r\n "]
WORDS = [
    "hello", "Köln", "日本", "<think>", "</think>", "<tool_response>", "</tool_response>", "<|im_end|>", "<|im_start|>",
    "<tool_call>", "</tool_call>", "a<b>&'c\"", "\\", "\\n", "{{ x }}", "{% if %}", "é", "ﬁ", "🙂", "\x7f", "\u2028", "0",
    "line\nline", "\x00", "\b\f",
]
NUMBERS = ["0", "-0", "1", "-7", "3.0", "-0.0", "1e5", "1E+16", "1e-5", "2.5e-7", "123456789012345678901234567890",
           "0.1", "1.7976931348623157e308", "1e400", "12345678.9", "100000000000000000000.0", "5e-324"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.malformed = False  # whether the request at hand may break the rules

    def chance(self, probability):
        return self.random.random() < probability

    def slip(self, probability):
        return self.malformed and self.chance(probability)

    def text(self):
        pick = self.random
        parts = []
        for _ in range(pick.choice([0, 1, 1, 2, 3, 5])):
            parts.append(pick.choice(SPACES))
            parts.append(pick.choice(WORDS))
        parts.append(pick.choice(SPACES))
        text = "".join(parts)
        if self.chance(0.08):
            text = pick.choice(SPACES) + "<tool_response>" + text + "</tool_response>" + pick.choice(SPACES)
        if self.chance(0.15):
            text = "<think>" + pick.choice(SPACES) + self.plain() + "</think>" + text
        return text

    def plain(self):
        return self.random.choice(WORDS) + self.random.choice(SPACES)

    def number(self):
        return f"@@{self.random.choice(NUMBERS)}@@"

    def value(self, depth=0):
        pick = self.random.random()
        if pick < 0.3 or depth > 3:
            return self.text()
        if pick < 0.5:
            return self.number()
        if pick < 0.65:
            return self.random.choice([None, True, False])
        if pick < 0.85:
            return {self.key(): self.value(depth + 1) for _ in range(self.random.choice([0, 1, 2, 4]))}
        return [self.value(depth + 1) for _ in range(self.random.choice([0, 1, 2, 3]))]

    def key(self):
        return self.random.choice(["city", "n", "Köln", "a b", "", "items", "type", "x\ny", "名"])

    def part(self):
        pick = self.random.random()
        if pick < 0.7:
            return {"type": "text", "text": self.text()}
        if pick < 0.8:
            return {"type": self.random.choice(["image", "video"])}
        if pick < 0.9 or not self.malformed:
            return self.random.choice([{"type": "image_url", "image_url": {"url": "u"}}, {"image": "u"}, {"video": "u"}])
        if pick < 0.93:
            return {"type": self.random.choice(["image_url", "video_url", "audio"])}
        if pick < 0.95:
            kind = self.random.choice(["image", "image_url", "video", "text"])
            return {"type": kind, kind: self.random.choice([{"url": "u"}, "u", None, self.number()])}
        if pick < 0.98:
            return self.random.choice(["plain", "an image", "", None, self.number(), [], {}])
        return {self.key(): self.value(2)}

    def content(self):
        pick = self.random.random()
        if pick < 0.8:
            return self.text()
        if pick < 0.98 or not self.malformed:
            return [self.part() for _ in range(self.random.choice([0, 1, 2, 3]))]
        return self.random.choice([None, {}, {"text": "x"}, True, self.number()])

    def arguments(self):
        if not self.slip(0.15):
            return {self.key(): self.value() for _ in range(self.random.choice([0, 1, 2, 3]))}
        return self.random.choice(["{}", '{"a": 1}', "", None, [], [["a", 1]], self.number()])

    def call(self):
        call = {"name": self.random.choice(["f", "get_weather", "名", ""]), "arguments": self.arguments()}
        if self.slip(0.05):
            call.pop(self.random.choice(["name", "arguments"]))
        if self.chance(0.8):
            call = {"id": "c1", "type": "function", "function": call}
        if self.slip(0.02):
            call = self.random.choice([None, "x", {}, {"function": None}, {"function": "f"}])
        return call

    def message(self):
        role = self.random.choices(["user", "assistant", "tool"], [0.38, 0.38, 0.24])[0]
        if self.slip(0.06):
            role = self.random.choice(["system", "developer", "function", None])
        message = {"role": role, "content": self.content()}
        if self.slip(0.02):
            message.pop(self.random.choice(["role", "content"]))
        if self.chance(0.3):
            message["reasoning_content"] = self.text() if self.chance(0.85) else self.value(2)
        if self.chance(0.05):
            message["reasoning"] = self.text()
        if role == "assistant" and self.chance(0.5):
            message["tool_calls"] = [self.call() for _ in range(self.random.choice([0, 1, 1, 2, 3]))]
            if self.slip(0.03):
                message["tool_calls"] = self.random.choice([None, {}, {"function": {}}, "calls", True])
        if role == "tool":
            message["tool_call_id"] = "c1"
            message["name"] = "f"
        if self.slip(0.005):
            return self.random.choice([None, "user", [], self.number()])
        return message

    def tool(self):
        return {
            "type": "function",
            "function": {
                "name": self.plain(),
                "description": self.text(),
                "parameters": {"type": "object", "properties": {self.key(): self.value(1)}, "required": [self.key()]},
            },
        }

    def request(self):
        messages = []
        self.malformed = self.chance(0.4)
        if self.chance(0.4):
            messages.append({"role": "system", "content": self.content() if self.malformed else self.text()})
        if not self.slip(0.1):
            messages.append({"role": "user", "content": self.text()})
        messages += [self.message() for _ in range(self.random.choice([0, 1, 2, 3, 4, 6, 9]))]
        tools = None
        if self.chance(0.4):
            tools = [self.tool() if self.chance(0.8) else self.value() for _ in range(self.random.choice([0, 1, 2, 3]))]
            if self.slip(0.05):
                tools = self.random.choice([{}, {"a": 1}, "tools", True, self.number()])
        kwargs = {}
        for name in ["enable_thinking", "preserve_thinking", "add_vision_id", "reasoning_effort"]:
            if self.chance(0.35):
                kwargs[name] = self.random.choice([True, False, True, False, "true", "false", self.number(), None])
        request = {
            "messages": messages,
            "tools": tools,
            "add_generation_prompt": self.chance(0.7),
            "chat_template_kwargs": kwargs,
        }
        return spell_numbers(request)


def spell_numbers(request):
    """JSON text in which the marked numbers stand as they are written."""
    return re.sub(r'"@@([^"@]*)@@"', r"\1", json.dumps(request, ensure_ascii=False))
