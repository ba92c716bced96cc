"""The document at /openapi.json against the server: every field that it describes is known, and a value of a wrong
kind in any of them gets a 4xx in the shape of the route. Also what a browser needs to know about the page's files."""

import http.client
import json
import unittest

from serving import Server, main

# A value of each kind of JSON.
VALUES = {"boolean": True, "integer": 3, "number": 0.25, "string": "x", "array": [{}], "object": {"a": {"b": 1}}}
# What makes a body whole beside the field that is looked at.
BASE = {"messages": [{"role": "user", "content": "hi"}], "prompt": "x", "input": "x", "tokens": [1], "content": "x",
        "abort_all": True}


class Document:
    def __init__(self, document):
        self.document = document

    def follow(self, schema):
        while "$ref" in schema:
            found = self.document
            for step in schema["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            schema = found
        return schema

    def properties(self, schema):
        schema = self.follow(schema)
        found = {}
        for part in schema.get("allOf", []):
            found.update(self.properties(part))
        return {**found, **schema.get("properties", {})}

    def kinds(self, schema):
        """The kinds of JSON that a schema takes; None when it says nothing of them."""
        schema = self.follow(schema)
        if "enum" in schema or "const" in schema:
            return set()  # its values are not ours
        if "anyOf" in schema:
            kinds = [self.kinds(part) for part in schema["anyOf"]]
            # A word of an enumeration is a string, but no other string will do.
            return set().union(*(kind or set() for kind in kinds))
        if "type" not in schema:
            return None
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kinds = {name for name in names if name != "null"}
        return kinds | {"integer"} if "number" in kinds else kinds

    def posts(self):
        for path, methods in self.document["paths"].items():
            body = methods.get("post", {}).get("requestBody")
            if body:
                yield path, body["content"]["application/json"]["schema"]


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(answers=[{"text": "hm\n</think>\n\nyes"}])
        cls.connection = http.client.HTTPConnection("127.0.0.1", cls.server.port, timeout=20)
        answer, body = cls.ask("GET", "/openapi.json")
        assert answer.status == 200
        cls.document = Document(json.loads(body))

    @classmethod
    def tearDownClass(cls):
        cls.connection.close()
        assert cls.server.stop() == 0

    @classmethod
    def ask(cls, method, path, body=None, **headers):
        cls.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = cls.connection.getresponse()
        return answer, answer.read()

    def base(self, schema):
        properties = self.document.properties(schema)
        # A text or a conversation, not both.
        wanted = {"content"} if {"prompt", "content", "messages"} <= set(properties) else set(BASE)
        return {name: value for name, value in BASE.items() if name in properties and name in wanted}

    def check_refusal(self, path, answer, body, what):
        self.assertTrue(400 <= answer.status < 500, (path, what, answer.status, body[:200]))
        error = json.loads(body)
        self.assertTrue(error["error"]["message"], (path, what))
        if path.startswith("/v1/messages"):
            self.assertEqual(error["type"], "error", (path, what))
        else:
            self.assertIn("param", error["error"], (path, what))

    def wrong_values(self, path, schema, place=()):
        """(names down to the field, a value of a wrong kind)"""
        for name, field in self.document.properties(schema).items():
            kinds = self.document.kinds(field)
            if kinds is None:
                continue
            for kind, value in VALUES.items():
                if kind not in kinds:
                    taken = self.document.follow(field).get("enum", [])
                    if not any(value is one or (value == one and type(value) is type(one)) for one in taken):
                        yield (*place, name), value
            inner = self.document.follow(field)
            if "object" in kinds and inner.get("properties") and len(place) < 1:
                yield from self.wrong_values(path, field, (*place, name))

    def test_a_wrong_kind_in_each_field(self):
        count = 0
        for path, schema in self.document.posts():
            for place, value in self.wrong_values(path, schema):
                body = self.base(schema)
                inner = body
                for step in place[:-1]:
                    inner = inner.setdefault(step, {})
                inner[place[-1]] = value
                if place[0] == "stream_options":
                    body["stream"] = True
                answer, text = self.ask("POST", path, body)
                self.check_refusal(path, answer, text, (place, value))
                count += 1
        self.assertGreater(count, 1000)
        answer, _ = self.ask("GET", "/health")
        self.assertEqual(answer.status, 200)

    def test_no_described_field_is_unknown(self):
        """The server names a field that it does not know in its log, once."""
        with Server(answers=[{"text": "x"}], keep_errors=True) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            for path, schema in self.document.posts():
                for name in self.document.properties(schema):
                    connection.request("POST", path, json.dumps({**self.base(schema), name: None, "never_heard": 1}))
                    connection.getresponse().read()
            connection.close()
            server.stop()
            named = [line for line in server.errors().splitlines() if "is unknown and ignored" in line]
            self.assertEqual(len(named), 1, named)
            self.assertIn("never_heard", named[0])

    def test_every_described_get_answers(self):
        for path, methods in self.document.document["paths"].items():
            for method in methods:
                answer, body = self.ask(method.upper(), path.replace("{id}", "none").replace("{name}", "main.js"))
                self.assertNotEqual(answer.status, 405, path)
                self.assertLess(answer.status, 500, path)
                if method == "get" and "{" not in path:
                    self.assertEqual(answer.status, 200, path)
        self.ask("POST", "/resume")

    def test_types_tags_and_policy_of_files(self):
        for path, kind in (("/", "text/html"), ("/page/style.css", "text/css"), ("/page/main.js", "text/javascript"),
                           ("/page/icon.svg", "image/svg+xml"), ("/openapi.json", "application/json")):
            answer, body = self.ask("GET", path)
            self.assertEqual(answer.status, 200, path)
            self.assertTrue(answer.headers["content-type"].startswith(kind), path)
            self.assertIn("default-src 'self'", answer.headers["content-security-policy"])
            again, nothing = self.ask("GET", path, **{"if-none-match": f'"other", W/{answer.headers["etag"]}'})
            self.assertEqual((again.status, nothing), (304, b""))
            head, nothing = self.ask("HEAD", path)
            self.assertEqual((head.status, int(head.headers["content-length"]), nothing), (200, len(body), b""))
        for path in ("/page/none.js", "/page/..%2fopenapi.json", "/page/%2e%2e/openapi.json", "/page/"):
            answer, body = self.ask("GET", path)
            self.assertEqual(answer.status, 404, path)
            self.assertTrue(json.loads(body)["error"]["message"])


if __name__ == "__main__":
    main()
