"""Routes for operators and for other programs: control, state, rendering, metrics, the service manager."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from serving import HERE, PROGRAM, Server, main

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
SLOW = {"messages": [{"role": "user", "content": "slow"}]}


def ask(server, path, body=None, **headers):
    request = urllib.request.Request(server.url + path, None if body is None else json.dumps(body).encode(),
                                     {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def metrics(server):
    with urllib.request.urlopen(server.url + "/metrics") as answer:
        text = answer.read().decode()
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return text, values


class State(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--sequences", "3", "--context", "8192")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def test_rendering_and_counting_agree(self):
        _, rendered = ask(self.server, "/apply-template", CHAT)
        self.assertEqual(ask(self.server, "/v1/chat/completions/render", CHAT)[1], rendered)
        count = len(rendered["tokens"])
        self.assertEqual(ask(self.server, "/v1/chat/completions/input_tokens", CHAT)[1],
                         {"object": "response.input_tokens", "input_tokens": count})
        items = {"input": "hi"}
        self.assertEqual(ask(self.server, "/v1/responses/render", items)[1]["prompt"], rendered["prompt"])
        self.assertEqual(ask(self.server, "/v1/responses/input_tokens", items)[1]["input_tokens"], count)
        self.assertEqual(ask(self.server, "/v1/messages/render", CHAT)[1]["prompt"], rendered["prompt"])
        self.assertEqual(ask(self.server, "/v1/messages/count_tokens", CHAT)[1], {"input_tokens": count})
        _, raw = ask(self.server, "/v1/completions/render", {"prompt": ["ab", [1, 2]]})
        self.assertEqual([entry["tokens"] for entry in raw][1], [1, 2])
        _, answer = ask(self.server, "/v1/chat/completions", CHAT)
        self.assertEqual(answer["usage"]["prompt_tokens"], count)

    def test_errors_keep_their_routes_shape(self):
        status, error = ask(self.server, "/v1/messages/render", {"messages": 1})
        self.assertEqual((status, error["type"]), (400, "error"))
        for path in ("/v1/responses/input_tokens", "/v1/chat/completions/render"):
            status, error = ask(self.server, path, {"model": "other", **CHAT, "input": "x"})
            self.assertEqual((status, error["error"]["code"]), (404, "model_not_found"))
        status, error = ask(self.server, "/v1/responses/input_tokens", {"input": "x", "previous_response_id": "none"})
        self.assertEqual(status, 404)
        long = {"messages": [{"role": "user", "content": "x" * 10_000}]}
        self.assertGreater(ask(self.server, "/v1/chat/completions/input_tokens", long)[1]["input_tokens"], 10_000)
        self.assertEqual(ask(self.server, "/v1/chat/completions/render", long)[0], 400)
        for path in ("/v1/embeddings", "/v1/score", "/api/chat", "/generate", "/v1/messages/batches"):
            status, error = ask(self.server, path, {})
            self.assertEqual(status, 404)
            self.assertIn(path, error["error"]["message"])

    def test_stored_responses_have_a_short_name_too(self):
        _, made = ask(self.server, "/responses", {"input": "hi"})
        self.assertEqual(ask(self.server, "/responses/" + made["id"])[1]["id"], made["id"])
        status, error = ask(self.server, f"/v1/responses/{made['id']}/cancel", {})
        self.assertEqual(status, 400)
        self.assertIn("background", error["error"]["message"])
        self.assertEqual(ask(self.server, "/v1/responses/none/cancel", {})[0], 404)

    def test_props_slots_and_information(self):
        _, props = ask(self.server, "/props")
        self.assertEqual((props["total_slots"], props["default_generation_settings"]["n_ctx"]), (3, 8192))
        self.assertIn("{%", props["chat_template"])
        # A client of another test may have left just now: its answer ends within a step.
        for _ in range(200):
            _, slots = ask(self.server, "/slots")
            if not any(slot["is_processing"] for slot in slots):
                break
            time.sleep(0.02)
        self.assertEqual([slot["is_processing"] for slot in slots], [False] * 3)
        self.assertEqual(ask(self.server, "/server_info")[1]["max_model_len"], 8192)
        self.assertIn("chat_template", ask(self.server, "/tokenizer_info")[1])
        # Nothing that tells of the machine's files.
        for path in ("/props", "/server_info", "/engine"):
            self.assertNotIn(os.path.dirname(__file__), json.dumps(ask(self.server, path)[1]))

    def test_pages_and_slots_of_a_running_answer(self):
        request = urllib.request.Request(self.server.url + "/v1/chat/completions",
                                         json.dumps({**SLOW, "stream": True}).encode())
        with urllib.request.urlopen(request) as stream:
            stream.readline()
            for _ in range(100):
                _, engine = ask(self.server, "/engine")
                if engine["requests"] and engine["requests"][0]["output_tokens"] > 0:
                    break
                time.sleep(0.05)
            self.assertEqual(engine["running"], 1)
            held = engine["requests"][0]
            self.assertEqual(held["state"], "answer")
            self.assertGreaterEqual(engine["pages"]["used"] * 64, held["prompt_tokens"] + held["output_tokens"])
            self.assertEqual(sum(slot["is_processing"] for slot in ask(self.server, "/slots")[1]), 1)
            self.assertGreater(metrics(self.server)[1]['vllm:kv_cache_usage_perc{engine="0",model_name="tiny"}'], 0)

    def test_metrics_add_up(self):
        before = metrics(self.server)[1]
        for _ in range(3):
            ask(self.server, "/v1/chat/completions", CHAT)
        text, after = metrics(self.server)
        labels = '{engine="0",model_name="tiny"}'

        def grown(name):
            return after[name] - before.get(name, 0)

        answers = grown("vllm:generation_tokens_total" + labels)
        self.assertEqual(grown("vllm:inter_token_latency_seconds_count" + labels), answers - 3)
        self.assertGreaterEqual(grown("vllm:iteration_tokens_total_sum" + labels), answers)
        self.assertGreaterEqual(after["vllm:iteration_tokens_total_count" + labels],
                                after["vllm:request_generation_tokens_count" + labels])
        self.assertEqual(grown('http_request_duration_seconds_count{handler="/v1/chat/completions",method="POST"}'), 3)
        self.assertGreater(grown('http_request_size_bytes_sum{handler="/v1/chat/completions"}'), 100)
        source = 'vllm:prompt_tokens_by_source_total{engine="0",model_name="tiny",source="%s"}'
        self.assertEqual(sum(grown(source % s) for s in ("local_compute", "local_cache_hit")),
                         grown("vllm:prompt_tokens_total" + labels))
        for name in ("process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_start_time_seconds"):
            self.assertGreater(after[name], 0, name)
        self.assertLess(abs(after["process_start_time_seconds"] - time.time()), 600)
        # A family's type is told once.
        kinds = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
        self.assertEqual(len(kinds), len(set(kinds)))

    def test_a_method_of_the_clients_invention_is_no_label(self):
        for method in ("BREW", "AAAA", "BBBB"):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(self.server.url + "/", method=method))
            caught.exception.close()
        self.assertNotIn("BREW", metrics(self.server)[0])


class Control(unittest.TestCase):
    def test_pause_and_resume(self):
        with Server() as server:
            self.assertEqual(ask(server, "/pause", {}), (200, {"status": "paused"}))
            self.assertEqual(ask(server, "/is_paused"), (200, {"is_paused": True}))
            answers = []
            thread = threading.Thread(target=lambda: answers.append(ask(server, "/v1/chat/completions", CHAT)))
            thread.start()
            for _ in range(100):
                if ask(server, "/engine")[1]["waiting"] == 1:
                    break
                time.sleep(0.02)
            time.sleep(0.2)
            self.assertEqual(answers, [])
            self.assertEqual(ask(server, "/resume", {}), (200, {"status": "resumed"}))
            thread.join(timeout=20)
            self.assertEqual(answers[0][0], 200)

    def test_abort(self):
        with Server() as server:
            answers = {}

            def run(name):
                answers[name] = ask(server, "/v1/chat/completions", SLOW, x_request_id=name)

            threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two", "three")]
            for thread in threads:
                thread.start()
            for _ in range(200):
                if ask(server, "/engine")[1]["running"] == 3:
                    break
                time.sleep(0.02)
            self.assertEqual(ask(server, "/abort_requests", {"request_ids": ["chatcmpl-two", "none"]}), (200, {"aborted": 1}))
            threads[1].join(timeout=10)
            self.assertEqual(answers["two"][0], 503)
            self.assertNotIn("one", answers)
            self.assertEqual(ask(server, "/abort_requests", {})[0], 400)
            self.assertEqual(ask(server, "/abort_requests", {"abort_all": True}), (200, {"aborted": 2}))
            for thread in threads:
                thread.join(timeout=10)
            self.assertEqual(ask(server, "/v1/chat/completions", CHAT)[0], 200)

    def test_foreign_pages_and_strangers_are_refused(self):
        with Server() as server:
            self.assertEqual(ask(server, "/pause", {}, Origin="https://evil.example")[0], 403)
            self.assertEqual(ask(server, "/is_paused")[1], {"is_paused": False})
            self.assertEqual(ask(server, "/pause", {}, Origin=server.url)[0], 200)
        with Server("--api-key", "k") as server:
            self.assertEqual(ask(server, "/pause", {})[0], 401)
            self.assertEqual(ask(server, "/pause", {}, x_api_key="k")[0], 200)


class OtherOrigins(unittest.TestCase):
    """Pages of other origins, as a browser asks for them."""

    def ask(self, server, origin, method, body=None):
        request = urllib.request.Request(server.url + "/v1/chat/completions", body, {
            "Origin": origin, "Access-Control-Request-Method": "POST", "Content-Type": "application/json",
            "Access-Control-Request-Headers": "content-type"}, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()
            return answer.status, answer.headers

    def test_a_listed_origin_may_ask_and_read(self):
        for flag in ("--cors", "--allowed-origins"):
            with Server(flag, "https://page.example") as server:
                status, headers = self.ask(server, "https://page.example", "OPTIONS")
                self.assertEqual(status, 204)
                self.assertEqual(headers["Access-Control-Allow-Origin"], "https://page.example")
                self.assertIn("content-type", headers["Access-Control-Allow-Headers"])
                for body in (CHAT, {**CHAT, "stream": True}):
                    status, headers = self.ask(server, "https://page.example", "POST", json.dumps(body).encode())
                    self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (200, "https://page.example"))
                status, headers = self.ask(server, "https://other.example", "POST", json.dumps(CHAT).encode())
                self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (200, None))

    def test_any_origin(self):
        with Server("--cors", "*") as server:
            status, headers = self.ask(server, "https://page.example", "POST", json.dumps(CHAT).encode())
            self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (200, "*"))


class Choices(unittest.TestCase):
    """What an operator chooses where servers differ: each flag, and the same without it."""

    def both(self, flags, path, body):
        answers = []
        for given in ((), flags):
            with Server(*given) as server:
                answers.append(ask(server, path, body))
        return answers

    def test_metrics_with_and_without_a_key(self):
        for flags, status in ((("--api-key", "k"), 200), (("--api-key", "k", "--metrics-auth"), 401)):
            with Server(*flags) as server:
                try:
                    with urllib.request.urlopen(server.url + "/metrics") as answer:
                        self.assertEqual(answer.status, status)
                except urllib.error.HTTPError as error:
                    with error:
                        self.assertEqual(error.code, status)

    def test_template_variables(self):
        flags = ("--default-chat-template-kwargs", '{"enable_thinking": false}')
        open_thought, closed = self.both(flags, "/apply-template", CHAT)
        self.assertTrue(open_thought[1]["prompt"].endswith("<think>\n"), open_thought)
        self.assertTrue(closed[1]["prompt"].endswith("<think>\n\n</think>\n\n"), closed)
        for own in ({"chat_template_kwargs": {"enable_thinking": True}}, {"enable_thinking": True},
                    {"reasoning_effort": "high"}):
            self.assertEqual(self.both(flags, "/apply-template", {**CHAT, **own})[1], open_thought, own)

    def test_tools(self):
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
        shown, hidden = self.both(("--exclude-tools-when-none",), "/apply-template",
                                  {**CHAT, "tools": [tool], "tool_choice": "none"})
        self.assertIn("get_weather", shown[1]["prompt"])
        self.assertNotIn("get_weather", hidden[1]["prompt"])
        absent, refused = self.both(("--lenient-empty-tools", "off"), "/v1/chat/completions", {**CHAT, "tools": []})
        self.assertEqual((absent[0], refused[0]), (200, 400))
        self.assertIn("tools", refused[1]["error"]["message"])

    def test_special_tokens_in_messages(self):
        body = {"messages": [{"role": "user", "content": "a<|im_end|>b"}]}
        literal, parsed = self.both(("--special-tokens-in-data", "parse"), "/apply-template", body)
        self.assertEqual(literal[1]["prompt"], parsed[1]["prompt"])
        self.assertEqual(len(parsed[1]["tokens"]) + len("<|im_end|>") - 1, len(literal[1]["tokens"]))

    def test_stop_strings_in_thoughts(self):
        body = {**CHAT, "stop": ["me th"]}
        content, thought = self.both(("--stop-in-reasoning",), "/v1/chat/completions", body)
        self.assertIn("Hello there", content[1]["choices"][0]["message"]["content"])
        choice = thought[1]["choices"][0]
        self.assertEqual(choice["message"]["reasoning_content"], "Let ")
        self.assertFalse(choice["message"]["content"])
        self.assertEqual(choice["finish_reason"], "stop")

    def test_log_probabilities_of_thoughts(self):
        of_content, of_all = self.both(("--logprobs-all-channels",), "/v1/chat/completions",
                                       {**CHAT, "logprobs": True, "top_logprobs": 1})
        text = ["".join(entry["token"] for entry in answer[1]["choices"][0]["logprobs"]["content"])
                for answer in (of_content, of_all)]
        self.assertNotIn("think.", text[0])
        self.assertTrue(text[1].startswith("Let me think."), text)
        self.assertIn("Hello there", text[1])


class Start(unittest.TestCase):
    def test_a_warning_when_others_can_reach_it(self):
        for flags, warned in ((("--host", "0.0.0.0"), True), (("--host", "0.0.0.0", "--api-key", "k"), False), ((), False)):
            with Server(*flags, keep_errors=True) as server:
                self.assertEqual(server.stop(), 0)
                self.assertEqual("no API key" in server.errors(), warned, (flags, server.errors()))

    def test_a_bound_for_its_memory(self):
        with Server("--memory", "1000000000", answers=None) as server:
            memory = ask(server, "/engine")[1]["memory"]["plan"]
            self.assertEqual(memory["available"], 1000000000)
            self.assertLessEqual(memory["total"], 1000000000)
        refused = subprocess.run([PROGRAM, "serve", str(HERE.parent.parent / "models/sprout"), "--port", "0",
                                  "--memory", "20000000"], capture_output=True, text=True, timeout=60)
        self.assertEqual(refused.returncode, 4, refused.stderr)
        self.assertIn("20.0 MB are available", refused.stderr)

    def test_the_service_manager_is_told(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(folder + "/notify")
            manager.settimeout(10)
            os.environ["NOTIFY_SOCKET"] = folder + "/notify"
            try:
                with Server() as server:
                    self.assertEqual(manager.recv(100), b"READY=1")
                    server.process.send_signal(signal.SIGTERM)
                    self.assertEqual(manager.recv(100), b"STOPPING=1")
            finally:
                del os.environ["NOTIFY_SOCKET"]


if __name__ == "__main__":
    main()
