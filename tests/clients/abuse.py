"""Raw sockets against the whole server: nothing but 4xx in the shape of the route, and it goes on."""

import concurrent.futures
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from serving import Server, main


def exchange(port, data, timeout=10):
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def post(path, body, headers=""):
    if isinstance(body, str):
        body = body.encode()
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def status(answer):
    return int(answer.split(b" ", 2)[1])


def body(answer):
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])


class Abuse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--header-timeout", "1")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def tearDown(self):
        answer = exchange(self.server.port, post("/v1/chat/completions", json.dumps(
            {"messages": [{"role": "user", "content": "hi"}]})))
        self.assertEqual(status(answer), 200, "the server does not go on")

    def refused(self, path, text):
        answer = exchange(self.server.port, post(path, text))
        self.assertIn(status(answer), (400, 404, 413), text[:80])
        error = body(answer)
        if path.startswith("/v1/messages"):
            self.assertEqual(error["type"], "error")
        self.assertTrue(error["error"]["message"])

    def test_bodies(self):
        deep = "[" * 5000 + "]" * 5000
        bodies = ["", "{", "[]", "1", "null", '"x"', "{}", "\x00", b"\xff\xfe", '{"messages":' + deep + "}",
                  '{"messages":[{"role":"user","content":"' + "q" * 40000 + '"}]}',
                  '{"messages":[{"role":"user","content":"a"}],"max_tokens":1e999}',
                  '{"messages":[{"role":"user","content":"\\ud800"}],"temperature":9}',
                  '{"messages":[{"role":"user","content":"a"}],"temperature":NaN}']
        for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions",
                     "/v1/messages/count_tokens", "/tokenize", "/detokenize", "/apply-template"):
            for text in bodies:
                if path == "/v1/messages/count_tokens" and b"qqq" in (text if isinstance(text, bytes) else
                                                                      text.encode()):
                    continue  # counting what does not fit is an answer
                with self.subTest(path=path, text=text[:40]):
                    self.refused(path, text)

    def test_wrong_types_everywhere(self):
        fields = {
            "/v1/chat/completions": ["model", "messages", "max_tokens", "temperature", "top_p", "top_k", "min_p", "n",
                                     "stop", "seed", "logit_bias", "logprobs", "top_logprobs", "stream",
                                     "stream_options", "tools", "tool_choice", "response_format",
                                     "chat_template_kwargs", "reasoning_effort", "thinking_token_budget"],
            "/v1/completions": ["model", "prompt", "max_tokens", "echo", "logprobs", "stop", "stream"],
            "/v1/messages": ["model", "messages", "system", "max_tokens", "temperature", "tools", "tool_choice",
                             "thinking", "output_config", "stop_sequences", "stream"],
            "/v1/responses": ["model", "input", "instructions", "max_output_tokens", "tools", "reasoning", "text",
                              "stream", "include"],
        }
        values = [True, -7, 2.5, "zzz", [], [[]], {}, {"a": {"b": 1}}, [{"x": 1}], 10**30]
        for path, names in fields.items():
            for name in names:
                for value in values:
                    request = {"messages": [{"role": "user", "content": "a"}], "prompt": "a", "input": "a",
                               "max_tokens": 5, name: value}
                    with self.subTest(path=path, name=name, value=value):
                        code = status(exchange(self.server.port, post(path, json.dumps(request))))
                        self.assertIn(code, (200, 400, 404))

    def test_framing(self):
        for data, code in ((b"nonsense\r\n\r\n", 400), (b"GET / HTTP/9.9\r\n\r\n", None),
                           (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
                           (b"GET / HTTP/1.1\r\nX: " + b"a" * 70000 + b"\r\n\r\n", 431),
                           (b"POST /v1/messages HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
                           (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                           (b"GET / HTTP/1.1\r\nX: half", 408),
                           (b"BREW / HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
                           (b"GET /v1/embeddings HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
                           (b"GET /v1/messages HTTP/1.1\r\nConnection: close\r\n\r\n", 405)):
            answer = exchange(self.server.port, data)
            self.assertIn(status(answer), (code,) if code else range(400, 506), data[:40])
            self.assertTrue(body(answer)["error"]["message"])

    def test_500_half_open_connections(self):
        held = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(500)]
        for index, connection in enumerate(held):
            if index % 2:
                connection.sendall(b"POST /v1/messages HTTP/1.1\r\nX: ")
        begin = time.monotonic()
        answer = exchange(self.server.port, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        self.assertEqual(status(answer), 200)
        self.assertLess(time.monotonic() - begin, 5)
        for connection in held:
            connection.close()

    def test_pipeline_of_answers(self):
        one = post("/v1/chat/completions", json.dumps({"messages": [{"role": "user", "content": "hi"}]}))
        keep = one.replace(b"Connection: close\r\n", b"")
        answer = exchange(self.server.port, keep * 3 + one)
        self.assertEqual(answer.count(b"HTTP/1.1 200 OK"), 4)

    def test_health_version_metrics(self):
        for path in ("/health", "/v1/health", "/ready", "/live", "/ping", "/version", "/metrics", "/"):
            with urllib.request.urlopen(self.server.url + path) as answer:
                self.assertEqual(answer.status, 200, path)
                if path == "/metrics":
                    self.assertIn('vllm:num_requests_running{engine="0",model_name="tiny"} 0', answer.read().decode())


class Draining(unittest.TestCase):
    def test_running_streams_end_well(self):
        with Server("--shutdown-timeout", "20") as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
            request = post("/v1/chat/completions", json.dumps(
                {"messages": [{"role": "user", "content": "slow"}], "stream": True, "max_tokens": 60}))
            answers = [pool.submit(exchange, server.port, request, 30) for _ in range(8)]
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            for answer in answers:
                self.assertIn(b'"finish_reason":"length"', answer.result())
                self.assertTrue(answer.result().rstrip(b"\r\n0").endswith(b"data: [DONE]"))

    def test_asking_again_while_it_ends_is_no_failure(self):
        with Server() as server:
            while server.process.poll() is None:
                server.process.send_signal(signal.SIGTERM)
                time.sleep(0.0005)
            self.assertEqual(server.process.returncode, 0)

    def test_what_takes_too_long_ends_with_an_error(self):
        with Server("--shutdown-timeout", "0.3") as server, concurrent.futures.ThreadPoolExecutor(2) as pool:
            chat = post("/v1/chat/completions", json.dumps(
                {"messages": [{"role": "user", "content": "slow"}], "stream": True}))
            messages = post("/v1/messages", json.dumps(
                {"messages": [{"role": "user", "content": "slow"}], "stream": True, "model": "claude-x"}))
            answers = [pool.submit(exchange, server.port, request, 30) for request in (chat, messages)]
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            self.assertIn(b'data: {"error":', answers[0].result())
            self.assertIn(b"event: error\ndata: ", answers[1].result())

    def test_new_work_is_refused_while_draining(self):
        with Server("--drain-grace", "2") as server:
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            answer = exchange(server.port, post("/v1/messages", json.dumps(
                {"messages": [{"role": "user", "content": "hi"}]})))
            self.assertEqual(status(answer), 503)
            self.assertIn(b"retry-after", answer)
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(server.url + "/health")
            self.assertEqual(caught.exception.code, 503)
            caught.exception.close()


class OtherSockets(unittest.TestCase):
    def test_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/s"
            with Server("--unix", path) as server:
                self.assertEqual(server.url, "unix:" + path)
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(path)
                    connection.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
                    self.assertEqual(status(connection.recv(65536)), 200)
            self.assertFalse(os.path.exists(path))

    @unittest.skipUnless(shutil.which("openssl"), "needs the openssl program for a certificate")
    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = folder + "/key.pem", folder + "/cert.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost",
                            "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
            with Server("--tls-cert", certificate, "--tls-key", key) as server:
                self.assertTrue(server.url.startswith("https://"))
                trust = ssl.create_default_context(cafile=certificate)
                request = urllib.request.Request(
                    server.url + "/v1/chat/completions", headers={"content-type": "application/json"},
                    data=json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": True}).encode())
                with urllib.request.urlopen(request, context=trust) as answer:
                    self.assertTrue(answer.read().endswith(b"data: [DONE]\n\n"))
                # Plain HTTP on the TLS port is closed, and the server goes on.
                with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    self.assertNotIn(b"HTTP/1.1", connection.recv(100))
                with urllib.request.urlopen(server.url + "/health", context=trust) as answer:
                    self.assertEqual(answer.status, 200)


if __name__ == "__main__":
    main()
