#!/usr/bin/env python3
"""Open WebUI 0.12.4 in front of `sluice serve`, driven in a headless Chromium: the model is listed, a question is
answered, the thought is folded away, a second question goes on from the first.

The engine is scripted: Open WebUI offers its own tools with every question, some 9,600 tokens in the demo model's
tokenizer, which was trained for 4,096.

By hand, since it brings gigabytes of packages:  apt-get install chromium, pip install open-webui in a Python 3.11 or 3.12 of its
own, then
  SLUICE_PROGRAM=build/release/bin/sluice OPEN_WEBUI=venv/bin/open-webui python3 tests/clients/open_webui.py
SLUICE_SCREENSHOTS=FOLDER keeps a picture and its log.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

import browser
from serving import Server, main, skip

ANSWERS = [
    {"when": {"last_user_contains": "sluice", "turn": 2}, "text": "Easy.\n</think>\n\nA channel with a gate."},
    {"text": "Let me think.\n</think>\n\nI am a gate."},
]
PROGRAM = os.environ.get("OPEN_WEBUI")
if not PROGRAM:
    skip("OPEN_WEBUI does not name the program")
if not browser.PROGRAM:
    skip("chromium is not installed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OpenWebUi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--context", "65536", "--alias", "scripted", answers=ANSWERS)
        cls.folder = tempfile.TemporaryDirectory()
        port = free_port()
        cls.url = f"http://127.0.0.1:{port}"
        # What would ask for models of other makers, or for a download, is off.
        environment = {**os.environ, "WEBUI_AUTH": "False", "WEBUI_SECRET_KEY": "x", "DATA_DIR": cls.folder.name,
                       "OPENAI_API_BASE_URL": f"{cls.server.url}/v1", "OPENAI_API_KEY": "none", "OFFLINE_MODE": "True",
                       "ENABLE_OLLAMA_API": "False", "RAG_EMBEDDING_ENGINE": "openai", "AUDIO_STT_ENGINE": "openai",
                       "ENABLE_TITLE_GENERATION": "False", "ENABLE_TAGS_GENERATION": "False",
                       "ENABLE_FOLLOW_UP_GENERATION": "False"}
        cls.log = open(Path(cls.folder.name) / "log.txt", "w")
        cls.process = subprocess.Popen([PROGRAM, "serve", "--host", "127.0.0.1", "--port", str(port)], env=environment,
                                       cwd=cls.folder.name, stdout=cls.log, stderr=cls.log)
        end = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"{cls.url}/health", timeout=5).read()
                break
            except OSError:
                if time.monotonic() > end or cls.process.poll() is not None:
                    raise
                time.sleep(0.5)
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.process.terminate()
        cls.process.wait(timeout=30)
        cls.log.close()
        if folder := os.environ.get("SLUICE_SCREENSHOTS"):
            shutil.copy(Path(cls.folder.name) / "log.txt", Path(folder) / "open-webui.log")
        cls.folder.cleanup()
        assert cls.server.stop() == 0

    def ask(self, question):
        self.browser.evaluate("document.getElementById('chat-input').focus()")
        self.browser.write(question)
        self.browser.key("Enter", text="\r")

    def test_a_conversation(self):
        page = self.browser
        page.look(1280, 860, dark=False)
        page.open(self.url + "/")
        page.wait("document.getElementById('chat-input')", 120)
        start = "[...document.querySelectorAll('button')].find(button => button.innerText.includes('Okay'))"
        page.wait(start, 30)
        page.evaluate(f"{start}.click()")
        page.wait(f"!{start}", 30)
        time.sleep(2)  # until the dialog has given the keyboard back
        self.assertIn("scripted", page.evaluate("document.body.innerText"))
        shown = "document.getElementById('messages-container')?.innerText"
        self.ask("How are you?")
        page.wait(f"{shown}?.includes('I am a gate.')", 120)
        page.wait(f"{shown}.includes('Thought')")
        self.assertNotIn("Let me think.", page.evaluate(shown))
        self.assertNotIn("think>", page.evaluate(shown))
        self.ask("And what is a sluice?")
        page.wait(f"{shown}?.includes('A channel with a gate.')", 120)
        log = [json.loads(line) for line in self.server.log.read_text().splitlines()]
        asked = [line for line in log if line["route"] == "/v1/chat/completions"]
        self.assertEqual({line["status"] for line in asked}, {200})
        self.assertTrue(all(line["stream"] for line in asked))
        if folder := os.environ.get("SLUICE_SCREENSHOTS"):
            page.screenshot(f"{folder}/open-webui.png")


if __name__ == "__main__":
    main()
