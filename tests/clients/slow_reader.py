"""Clients that ask for a long answer and do not read it: memory stays flat, their place in the batch is free again at
once, others are answered, and who comes back to reading is told why the answer ended."""

import json
import socket
import time
import unittest
import urllib.request

from serving import Server, main

# More than the sockets of both sides take by themselves: 13 MB of events.
LONG = "word " * 12_000
ANSWERS = [{"when": {"last_user_contains": "long"}, "text": "x\n</think>\n\n" + LONG, "draft_groups": [24], "step_ms": 1},
           {"text": "x\n</think>\n\nshort"}]


def body(text, **more):
    return json.dumps({"messages": [{"role": "user", "content": text}], **more}).encode()


class SlowReader(unittest.TestCase):
    def start(self, server):
        """A request for the long answer over a connection with a small window; nothing is read."""
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", server.port))
        data = body("long", stream=True)
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
                           str(len(data)).encode() + b"\r\n\r\n" + data)
        return connection

    def engine(self, server):
        with urllib.request.urlopen(server.url + "/engine") as answer:
            return json.load(answer)

    def idle(self, server):
        engine = self.engine(server)
        return engine["running"] + engine["waiting"] == 0

    def until(self, holds, seconds=20):
        end = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), end, "it did not come to pass")
            time.sleep(0.05)

    def ask_short(self, server):
        request = urllib.request.Request(server.url + "/v1/chat/completions", body("short"))
        with urllib.request.urlopen(request, timeout=20) as answer:
            self.assertEqual(json.load(answer)["choices"][0]["message"]["content"], "short")

    def test_their_place_is_free_and_they_are_told(self):
        with Server("--client-backlog", "2000", "--sequences", "2", answers=ANSWERS) as server:
            slow = [self.start(server) for _ in range(4)]
            # All four got their turn although none of them reads, and none is left in the engine.
            self.until(lambda: self.engine(server)["generated_tokens"] > 0)
            self.until(lambda: self.idle(server))
            self.ask_short(server)
            received = b""
            while piece := slow[0].recv(65536):
                received += piece
            self.assertIn(b"reads too slowly", received[-1000:])
            self.assertIn(b"data: [DONE]", received[-1000:])
            for connection in slow:
                connection.close()
            self.until(lambda: server.log.read_text().count('"disconnect":"slow"') == 4)
            self.ask_short(server)

    def test_a_client_that_never_reads_is_cut_off(self):
        with Server("--client-backlog", "2000", "--stalled-client-timeout", "1", answers=ANSWERS) as server:
            slow = self.start(server)
            self.until(lambda: '"disconnect":"slow"' in server.log.read_text())
            self.assertIn('"finish":"abort"', server.log.read_text())
            slow.close()
            self.ask_short(server)

    def test_memory_stays_flat(self):
        with Server("--client-backlog", "2000", "--sequences", "4", answers=ANSWERS) as server:
            def round_of_slow():
                slow = [self.start(server) for _ in range(4)]
                self.until(lambda: self.idle(server))
                most = self.engine(server)["memory"]["resident"]
                for connection in slow:
                    connection.close()
                return most

            first = round_of_slow()
            for _ in range(5):
                last = round_of_slow()
            # Twenty more answers of 60,000 tokens would be 80 MB if they were kept.
            self.assertLess(last - first, 16 << 20)


if __name__ == "__main__":
    main()
