#!/usr/bin/env python3
"""Load: many clients streaming answers of mixed lengths, a third of them leaving at random. At the end there must be no
error, no request and no page left in the engine, and flat memory. Python's own library only.

  tests/clients/load.py --program build/release/bin/sluice --model sprout --seconds 600
  tests/clients/load.py --url http://127.0.0.1:8080 --seconds 60      # a server that runs already
"""

import argparse
import asyncio
import json
import random
import signal
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

WORDS = "water gate river channel stone the a of and opens closes slowly when rain falls mill wheel turns level".split()


class Totals:
    def __init__(self):
        self.done = self.cancelled = self.chunks = self.tokens = 0
        self.errors = []
        self.first, self.rates = [], []


async def request(address, method, path, body=b""):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def get(address, path):
    reader, writer = await request(address, "GET", path)
    answer = await reader.read()
    writer.close()
    return answer.split(b"\r\n\r\n", 1)[1]


async def one_answer(address, model, rng, totals, cancel):
    prompt = " ".join(rng.choices(WORDS, k=int(rng.lognormvariate(3.5, 1.0)) % 800 + 3))
    body = {"model": model, "stream": True, "stream_options": {"include_usage": True}, "seed": rng.randrange(1 << 31),
            "max_tokens": rng.choice((8, 32, 64, 128, 256)), "messages": [{"role": "user", "content": prompt}]}
    leave_after = rng.randrange(0, 24) if rng.random() < cancel else None
    begin = time.monotonic()
    reader, writer = await request(address, "POST", "/v1/chat/completions", json.dumps(body).encode())
    try:
        status = await reader.readline()
        if b" 200 " not in status:
            totals.errors.append(f"{status!r} {(await reader.read())[-300:]!r}")
            return
        chunks, first, last, finish, done, tokens = 0, None, None, None, False, 0
        if leave_after == 0:
            totals.cancelled += 1
            return  # before the first word
        while line := await reader.readline():
            if not line.startswith(b"data: "):
                continue
            if line.startswith(b"data: [DONE]"):
                done = True
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                totals.errors.append(json.dumps(chunk))
                return
            if chunk.get("usage"):
                tokens = chunk["usage"]["completion_tokens"]
            for choice in chunk["choices"]:
                finish = choice["finish_reason"] or finish
                if choice["delta"].get("content") or choice["delta"].get("reasoning_content"):
                    last = time.monotonic()
                    first = first or last
                    chunks += 1
            totals.chunks += 1
            if leave_after is not None and chunks >= leave_after:
                totals.cancelled += 1
                return
        if not done or finish not in ("stop", "length") or tokens == 0:
            totals.errors.append(f"broken stream: done {done}, finish {finish}, {tokens} tokens")
            return
        totals.done += 1
        totals.tokens += tokens
        if first:
            totals.first.append(first - begin)
            if last > first and tokens > 8:
                totals.rates.append((tokens - 1) / (last - first))
    finally:
        writer.close()


async def client(number, address, model, options, totals, end):
    rng = random.Random(options.seed * 1000 + number)
    while time.monotonic() < end:
        try:
            await asyncio.wait_for(one_answer(address, model, rng, totals, options.cancel), options.patience)
        except (OSError, asyncio.TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            totals.errors.append(repr(error))
            await asyncio.sleep(0.1)


async def watch(address, samples, end):
    while time.monotonic() < end:
        for line in (await get(address, "/metrics")).decode().splitlines():
            if line.startswith("process_resident_memory_bytes "):
                samples.append(float(line.split()[1]))
        await asyncio.sleep(1)


def spread(values, unit):
    if len(values) < 2:
        return "too few"
    cuts = statistics.quantiles(values, n=20)
    return f"median {statistics.median(values):.2f} {unit}, 5 % {cuts[0]:.2f}, 95 % {cuts[-1]:.2f}"


async def run(url, options):
    parts = urlsplit(url)
    address = (parts.hostname, parts.port)
    model = json.loads(await get(address, "/v1/models"))["data"][0]["id"]
    totals, memory = Totals(), []
    begin = time.monotonic()
    end = begin + options.seconds
    before = json.loads(await get(address, "/engine"))
    await asyncio.gather(watch(address, memory, end),
                         *(client(n, address, model, options, totals, end) for n in range(options.clients)))
    seconds = time.monotonic() - begin
    for _ in range(100):  # those who left are noticed within a step
        engine = json.loads(await get(address, "/engine"))
        if engine["running"] + engine["waiting"] == 0:
            break
        await asyncio.sleep(0.1)
    problems = list(dict.fromkeys(totals.errors))[:10]
    if engine["running"] + engine["waiting"] or engine["requests"]:
        problems.append(f"requests are left in the engine: {engine['requests']}")
    if engine["pages"]["used"]:
        problems.append(f"{engine['pages']['used']} pages did not come back")
    # The first third warms up: buffers grow to what the load needs.
    third = max(1, len(memory) // 3)
    early, late = max(memory[:third], default=0), max(memory[-third:], default=0)
    if late > early * 1.05 + (8 << 20):
        problems.append(f"memory grew: {early / 1e6:.1f} MB in the first third, {late / 1e6:.1f} MB in the last")
    if totals.done == 0 or (options.cancel > 0 and totals.cancelled == 0):
        problems.append("nothing was finished or nothing was cancelled: the run says nothing")
    made = engine["generated_tokens"] - before["generated_tokens"]
    print(f"{options.clients} clients, {seconds:.1f} s: {totals.done} answers, {totals.cancelled} left early, {len(totals.errors)} errors")
    print(f"all: {made / seconds:.1f} tokens/s made, {(engine['prompt_tokens'] - before['prompt_tokens']) / seconds:.1f} tokens/s read")
    print(f"each: {spread(totals.rates, 'tokens/s')}")
    print(f"first token: {spread(totals.first, 's')}")
    print(f"resident memory: {early / 1e6:.1f} MB in the first third, {late / 1e6:.1f} MB in the last")
    for problem in problems:
        print("PROBLEM:", problem)
    return 1 if problems or totals.errors else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server that runs; otherwise one is started")
    parser.add_argument("--program", default="build/release/bin/sluice")
    parser.add_argument("--model", default="sprout")
    parser.add_argument("--flags", default="--sequences 16 --context 2048", help="for the server that is started")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cancel", type=float, default=1 / 3, help="share of requests whose client leaves")
    parser.add_argument("--patience", type=float, default=300, help="seconds until an answer counts as lost")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.url:
        return asyncio.run(run(options.url, options))
    server = subprocess.Popen([options.program, "serve", options.model, "--port", "0", "--quiet", "--drain-grace", "0",
                               *options.flags.split()], stdout=subprocess.PIPE, text=True)
    try:
        ready = server.stdout.readline()
        if "ready on " not in ready:
            print("the server did not start", file=sys.stderr)
            return 1
        code = asyncio.run(run(ready.split()[3], options))
    finally:
        server.send_signal(signal.SIGTERM)
        ended = server.wait(timeout=60)
    if ended != 0:
        print(f"PROBLEM: the server ended with {ended}")
    return code or ended


if __name__ == "__main__":
    sys.exit(main())
