"""docs/examples/sluice.service as far as it goes without systemd as init: its lines are known to systemd, and its
command starts, says that it is ready, drains, restarts, and survives a kill."""

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from serving import ANSWERS, HERE, PROGRAM, main

UNIT = HERE.parent.parent / "docs/examples/sluice.service"


def setting(name):
    return [line.split("=", 1)[1] for line in UNIT.read_text().splitlines() if line.startswith(name + "=")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Manager:
    """Does with the unit's command what systemd would: credentials, variables, the socket for READY=1."""

    def __init__(self, folder):
        self.folder = Path(folder)
        (self.folder / "keys").write_text("# the operators'\nsecret\n")
        (self.folder / "script.json").write_text(json.dumps({"answers": ANSWERS}))
        self.port = free_port()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.folder / "notify"))
        self.socket.settimeout(20)
        (line,) = setting("ExecStart")
        line = line.replace("${MODEL}", str(HERE.parent / "model/data/tiny")).replace("%d", str(self.folder))
        line = re.sub(r"--port \d+", f"--port {self.port}", line)
        self.command = [PROGRAM, *shlex.split(line)[1:], "--engine", f"script:{self.folder / 'script.json'}",
                        "--chat-template-file", str(HERE.parent / "server/data/chat_template.jinja"), "--drain-grace", "0.2"]

    def start(self):
        self.process = subprocess.Popen(self.command, env={"NOTIFY_SOCKET": str(self.folder / "notify")},
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert self.socket.recv(100) == b"READY=1"

    def ask(self, text, **more):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions", headers={"authorization": "Bearer secret"},
            data=json.dumps({"messages": [{"role": "user", "content": text}], **more}).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["choices"][0]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.socket.close()


class ServiceUnit(unittest.TestCase):
    @unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
    def test_systemd_knows_every_line(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "sluice.service"
            copy.write_text(UNIT.read_text().replace("/usr/bin/sluice", PROGRAM))
            checked = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
            ours = [line for line in checked.stderr.splitlines() if "sluice.service" in line]
            self.assertEqual((checked.returncode, ours), (0, []), checked.stderr)

    def test_nothing_is_promised_that_is_not_there(self):
        text = UNIT.read_text()
        self.assertEqual(setting("Type"), ["notify"])
        self.assertNotIn("ExecReload", text)
        self.assertNotIn("WatchdogSec", text)
        # A running answer must have the time that the server gives it.
        (start,), (stop,) = setting("ExecStart"), setting("TimeoutStopSec")
        self.assertLess(float(re.search(r"--shutdown-timeout (\d+)", start)[1]), float(stop.removesuffix("s")))

    def test_start_drain_restart_and_kill(self):
        with tempfile.TemporaryDirectory() as folder:
            manager = Manager(folder)
            try:
                manager.start()
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    urllib.request.urlopen(f"http://127.0.0.1:{manager.port}/v1/models")
                self.assertEqual(refused.exception.code, 401)
                refused.exception.close()
                answers = []
                thread = threading.Thread(target=lambda: answers.append(manager.ask("slow", max_tokens=60)))
                thread.start()
                time.sleep(0.5)
                manager.process.send_signal(signal.SIGTERM)
                self.assertEqual(manager.socket.recv(100), b"STOPPING=1")
                thread.join(timeout=30)
                self.assertEqual(answers[0]["finish_reason"], "length")  # drained, not cut
                self.assertEqual(manager.process.wait(timeout=30), 0)
                manager.start()
                self.assertEqual(manager.ask("hi")["finish_reason"], "stop")
                manager.process.kill()
                self.assertEqual(manager.process.wait(timeout=10), -signal.SIGKILL)
                manager.start()  # the port is free at once
                self.assertEqual(manager.ask("hi")["finish_reason"], "stop")
            finally:
                manager.close()

    def test_what_a_restart_cannot_mend_is_not_restarted(self):
        (prevented,) = setting("RestartPreventExitStatus")
        wrong = [["--port", "seventy"], ["--engine", "script:/nonexistent.json"]]
        for flags in wrong:
            code = subprocess.run([PROGRAM, "serve", str(HERE.parent / "model/data/tiny"), *flags],
                                  capture_output=True).returncode
            self.assertIn(str(code), prevented.split(), flags)


if __name__ == "__main__":
    main()
