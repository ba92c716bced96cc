"""Starts `sluice serve` over a scripted engine, or over the demo model, for the client tests."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = os.environ.get("SLUICE_PROGRAM", "")
SKIPPED = 77  # what ctest takes for "skipped"

CALL = (
    "I need the weather.\n</think>\n\nLet me look.\n\n<tool_call>\n<function=get_weather>\n"
    "<parameter=city>\nKöln\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>"
)
ANSWERS = [
    {"when": {"last_user_contains": "weather", "tool": "get_weather", "turn": 1}, "text": CALL},
    {"when": {"last_user_contains": "drafted"}, "text": CALL, "draft_groups": [3, 1, 7]},
    {"when": {"last_user_contains": "slow"}, "text": "hm\n</think>\n\n" + "word " * 200, "step_ms": 20},
    {"when": {"last_user_contains": "fail"}, "text": "hm\n</think>\n\nThis breaks off", "fail_after": 12},
    {"when": {"last_user_contains": "long thought"}, "text": "thinking " * 50 + "\n</think>\n\nDone."},
    {"when": {"last_user_contains": "only thought"}, "text": "nothing but thought"},
    {"text": "Let me think.\n</think>\n\nHello there, Köln! One END two."},
]

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}


class Server:
    """A running server; use as a context manager. Without answers the demo model makes them."""

    def __init__(self, *flags, answers=ANSWERS, keep_errors=False):
        self.folder = tempfile.TemporaryDirectory()
        tests = HERE.parent
        if answers is None:
            model = [str(tests.parent / "models/sprout"), "--context", "2048"]
        else:
            script = Path(self.folder.name) / "script.json"
            script.write_text(json.dumps({"answers": answers}))
            model = [str(tests / "model/data/tiny"), "--engine", f"script:{script}",
                     "--chat-template-file", str(tests / "server/data/chat_template.jinja")]
        self.log = Path(self.folder.name) / "requests.jsonl"
        command = [PROGRAM, "serve", *model, "--port", "0", "--request-log", str(self.log), *flags]
        if "--drain-grace" not in flags:
            command += ["--drain-grace", "0"]
        self.error_log = Path(self.folder.name) / "errors.txt"
        with open(self.error_log, "w") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                            stderr=errors if keep_errors else None)
        ready = self.process.stdout.readline()
        if not ready.startswith("sluice: ready on "):
            raise RuntimeError(f"the server did not start: {ready!r}")
        self.url = ready.split()[3]
        self.port = int(self.url.rsplit(":", 1)[1]) if self.url.startswith("http") else 0

    def stop(self):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=40)
        self.process.stdout.close()
        return code

    def errors(self):
        """What it wrote to standard error, with keep_errors."""
        return self.error_log.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        code = self.stop()
        self.folder.cleanup()
        if code != 0:
            raise RuntimeError(f"the server ended with {code}")


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def require(package, version):
    """The package in the version that these tests are written for, or the file is skipped by name."""
    try:
        module = __import__(package)
    except ImportError:
        skip(f"the Python package {package} {version} is not installed")
    if not module.__version__.startswith(version):
        skip(f"{package} is {module.__version__}, these tests are for {version}")
    return module


def main():
    if not PROGRAM:
        skip("SLUICE_PROGRAM is not set")
    unittest.main()
