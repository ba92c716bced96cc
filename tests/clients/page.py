"""The web page in a headless Chromium, against the scripted engine: send, stream, stop, tool call, errors, keyboard.

By hand, since Debian's chromium is too large for CI:  apt-get install chromium, then
SLUICE_PROGRAM=build/release/bin/sluice python3 tests/clients/page.py
SLUICE_SCREENSHOTS=FOLDER keeps pictures: phone and desktop, dark and light.
"""

import json
import os
import time
import unittest
from pathlib import Path

import browser
from serving import WEATHER, Server, main, skip

if not browser.PROGRAM:
    skip("chromium is not installed")

RICH = """The user wants an overview, so I should keep it short.
Two facts, one table, one piece of code.
</think>

## What a sluice does

A **sluice** is a channel with a *gate*. The gate sets how much water passes; `open(0.4)` lets 40 % through.

1. Water stands behind the gate.
2. The gate rises:
   - slowly at first,
   - then at the rate that is wanted.
3. The rest flows on. See <https://example.org/sluice> or [a page](https://example.org/a_b).

| gate | flow |
|---|---|
| closed | 0.0 m³/s |
| half | 1.7 m³/s |

> Never open a gate against the wind.

```python
def open(share: float) -> float:
    # <script>alert("never run")</script>
    return max(0.0, min(1.0, share)) * FULL
```

That is all."""
HOSTILE = ("x\n</think>\n\n<img src=x onerror=\"window.hacked=1\"> [a](javascript:window.hacked=2) "
           "**<b onclick=x>bold</b>**\n\n```html\n<script>window.hacked=3</script>\n```\n\n<svg onload=window.hacked=4>")
CALL = ("I need the weather.\n</think>\n\nLet me look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nKöln\n"
        "</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>")
ANSWERS = [
    {"when": {"last_user_contains": "weather", "tool": "get_weather", "turn": 1}, "text": CALL},
    {"when": {"last_user_contains": "weather"}, "text": "Good.\n</think>\n\nSunny in Köln."},
    {"when": {"last_user_contains": "slow"}, "text": "hm\n</think>\n\n" + "word " * 2000, "step_ms": 4},
    {"when": {"last_user_contains": "fail"}, "text": "hm\n</think>\n\nThis breaks off here", "fail_after": 20},
    {"when": {"last_user_contains": "sluice"}, "text": RICH, "draft_groups": [7, 3, 5]},
    {"when": {"last_user_contains": "hostile"}, "text": HOSTILE},
    {"text": "Let me think.\n</think>\n\nHello there, Köln!"},
]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
IDLE = "document.getElementById('stop').hidden"
LAST = "[...document.querySelectorAll('.turn.answer')].at(-1)"


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(answers=ANSWERS)
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        assert cls.server.stop() == 0

    def setUp(self):
        self.browser.look(1280, 860, dark=False)
        self.browser.events.clear()
        self.browser.open(self.server.url + "/")
        self.browser.wait("document.getElementById('model').textContent === 'tiny'")

    def tearDown(self):
        self.assertEqual(self.browser.problems(), [])
        strangers = [url for url in self.browser.requested() if not url.startswith(self.server.url)]
        self.assertEqual(strangers, [])

    def send(self, text, wait=True):
        self.browser.evaluate("document.getElementById('prompt').focus()")
        self.browser.write(text)
        self.browser.key("Enter", text="\r")
        if wait:
            self.browser.wait(f"{LAST} && {IDLE}")

    def text(self, selector):
        return self.browser.evaluate(f"{LAST}.querySelector('{selector}')?.innerText")

    def shot(self, name):
        folder = os.environ.get("SLUICE_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.browser.screenshot(str(Path(folder) / f"{name}.png"))

    def test_send_and_thought(self):
        self.send("hi")
        self.assertEqual(self.text(".prose"), "Hello there, Köln!")
        self.assertFalse(self.browser.evaluate(f"{LAST}.querySelector('details').open"))
        self.assertEqual(self.browser.evaluate(f"{LAST}.querySelector('.thought .text').textContent"), "Let me think.")
        self.assertIn("tokens", self.text("footer"))
        self.browser.evaluate(f"{LAST}.querySelector('summary').click()")
        self.assertTrue(self.browser.evaluate(f"{LAST}.querySelector('details').open"))
        # The second turn carries the first.
        self.send("hi again")
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('.turn').length"), 4)

    def test_markdown(self):
        self.send("tell me about a sluice")
        tags = self.browser.evaluate(f"[...{LAST}.querySelector('.prose').children].map(e => e.localName).join(' ')")
        self.assertEqual(tags, "h4 p ol div blockquote pre p")
        self.assertEqual(self.browser.evaluate(f"{LAST}.querySelectorAll('ol > li').length"), 3)
        self.assertEqual(self.browser.evaluate(f"{LAST}.querySelectorAll('ol ul li').length"), 2)
        self.assertEqual(self.browser.evaluate(f"{LAST}.querySelectorAll('tbody tr').length"), 2)
        self.assertIn("return max(0.0", self.text("pre"))
        self.assertEqual(self.browser.evaluate(f"[...{LAST}.querySelectorAll('a')].map(a => a.href).join()"),
                         "https://example.org/sluice,https://example.org/a_b")

    def test_model_text_is_never_markup(self):
        self.send("hostile")
        self.assertEqual(self.browser.evaluate(f"{LAST}.querySelectorAll('img, svg, script, b, a').length"), 0)
        self.assertIsNone(self.browser.evaluate("window.hacked ?? null"))
        self.assertIn("<img src=x", self.text(".prose"))

    def test_streams_and_stops(self):
        self.send("slow", wait=False)
        self.browser.wait(f"({LAST}?.querySelector('.prose')?.textContent.length ?? 0) > 20")
        first = self.browser.evaluate(f"{LAST}.querySelector('.prose').textContent.length")
        self.browser.wait(f"{LAST}.querySelector('.prose').textContent.length > {first}")
        self.assertEqual(self.browser.evaluate("document.getElementById('messages').ariaBusy"), "true")
        self.browser.wait("document.querySelectorAll('#slots li:not(.free)').length === 1")
        self.browser.key("Escape")
        self.browser.wait(IDLE)
        self.assertIn("stopped", self.text("footer"))
        self.assertEqual(self.browser.evaluate("document.getElementById('messages').ariaBusy"), "false")
        self.browser.wait("document.querySelectorAll('#slots li:not(.free)').length === 0")
        # And by the button.
        self.send("slow", wait=False)
        self.browser.wait(f"({LAST}?.querySelector('.prose')?.textContent.length ?? 0) > 20")
        self.browser.evaluate("document.getElementById('stop').click()")
        self.browser.wait(IDLE)
        for _ in range(100):
            if self.server.log.read_text().count('"finish":"abort"') == 2:
                return
            time.sleep(0.05)
        self.fail("the stopped answers went on")

    def test_tool_call(self):
        self.browser.evaluate("document.getElementById('open-settings').click()")
        self.browser.evaluate("document.querySelector('[name=tools]').value = " + json.dumps(json.dumps(TOOLS)))
        self.browser.evaluate("document.querySelector('dialog .primary').click()")
        self.send("weather?")
        self.assertEqual(self.text(".call b"), "get_weather")
        self.assertEqual(json.loads(self.text(".call pre")), {"city": "Köln", "days": 3})
        self.browser.evaluate(f"{LAST}.querySelector('.call textarea').focus()")
        self.browser.write("sun, 24 degrees")
        self.browser.evaluate(f"{LAST}.querySelector('.call button').click()")
        self.browser.wait("document.querySelectorAll('.turn.answer').length === 2 && " + IDLE)
        self.assertEqual(self.text(".prose"), "Sunny in Köln.")
        self.shot("tool-call-desktop-light")

    def test_errors_are_shown_in_words(self):
        self.send("fail")
        self.assertIn("the script fails after 20 tokens", self.text(".problem-box"))
        self.assertIn("This breaks", self.text(".prose"))
        self.browser.evaluate(f"[...{LAST}.querySelectorAll('button')].at(-1).click()")
        self.browser.wait(f"document.querySelectorAll('.turn.answer').length === 1 && {IDLE}")
        # A tool list that is no JSON keeps the dialog open and says why.
        self.browser.evaluate("document.getElementById('open-settings').click()")
        self.browser.evaluate("document.querySelector('[name=tools]').value = '[{'")
        self.browser.evaluate("document.querySelector('dialog .primary').click()")
        self.assertTrue(self.browser.evaluate("document.querySelector('dialog').open"))
        self.assertIn("not JSON", self.browser.evaluate("document.getElementById('tools-problem').textContent"))
        self.shot("error-desktop-light")

    def test_a_refused_setting_is_named(self):
        self.browser.evaluate("document.querySelector('[name=top_p]').value = '7'")
        self.send("hi")
        self.assertIn("top_p", self.text(".problem-box"))
        self.browser.events.clear()  # the browser itself logs a 400 as an error

    def test_keyboard_alone(self):
        self.assertEqual(self.browser.evaluate("document.activeElement.id"), "prompt")
        self.browser.write("one")
        self.browser.key("Enter", text="\r", modifiers=8)
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('.turn').length"), 0)
        self.browser.write("two")
        self.browser.key("Enter", text="\r")
        self.browser.wait(f"{LAST} && {IDLE}")
        seen = set()
        for _ in range(40):
            self.browser.key("Tab")
            if self.browser.evaluate("document.activeElement === document.body"):
                continue  # once around
            seen.add(self.browser.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
            self.assertNotEqual(self.browser.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "none",
                                self.browser.evaluate("document.activeElement.outerHTML.slice(0, 200)"))
        for wanted in ("prompt", "send", "new-chat", "open-settings", "Copy", "Answer anew", "Thought"):
            self.assertIn(wanted, seen)

    def test_fits_and_pictures(self):
        self.send("tell me about a sluice, and what its gate is for")
        for name, width, height in (("phone", 390, 844), ("narrow", 320, 640), ("tablet", 900, 900), ("desktop", 1360, 860)):
            for dark in (False, True):
                self.browser.look(width, height, dark, phone=width < 500)
                for view in ("chat", "engine"):
                    if width > 1088 and view == "engine":
                        continue
                    self.browser.evaluate(f"document.querySelector('[data-show={view}]').click()")
                    self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
                    self.shot(f"{view}-{name}-{'dark' if dark else 'light'}")
        self.browser.evaluate("document.querySelector('[data-show=chat]').click()")
        self.browser.look(390, 844, True, phone=True)
        self.browser.evaluate("document.getElementById('open-settings').click()")
        self.shot("settings-phone-dark")
        self.browser.look(1360, 860, False)
        self.shot("settings-desktop-light")


class Keys(unittest.TestCase):
    def test_the_page_is_open_and_asks_for_a_key(self):
        with Server("--api-key", "secret", answers=ANSWERS) as server, browser.Browser() as page:
            page.open(server.url + "/")
            page.wait("document.getElementById('engine-state').textContent.includes('API key')")
            page.evaluate("document.getElementById('open-settings').click()")
            page.evaluate("document.querySelector('[name=key]').value = 'secret'")
            page.evaluate("document.querySelector('dialog .primary').click()")
            page.wait("document.getElementById('model').textContent === 'tiny'")
            self.assertEqual(page.evaluate("localStorage.length + document.cookie.length"), 0)
            page.evaluate("document.getElementById('prompt').value = 'hi'")
            page.evaluate("document.getElementById('composer').requestSubmit()")
            page.wait(f"{LAST}?.querySelector('.prose')?.textContent === 'Hello there, Köln!'")


if __name__ == "__main__":
    main()
