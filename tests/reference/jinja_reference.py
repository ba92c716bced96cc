#!/usr/bin/env python3
"""Writes template requests with the answer of Python's Jinja2, one JSON object a line, for tests/chat/jinja_reference_test.cc.

  jinja_reference.py conversations COUNT SEED FILE...   random conversations over the templates in the files
                                                        (*.jinja, or the chat_template of tokenizer_config*.json)
  jinja_reference.py snippets COUNT SEED                the fixed snippets and COUNT random expressions

A line with "source" sets the template for the lines after it. Prints one line {"skip": reason} without Jinja2.
"""

import copy
import json
import sys
import warnings


def emit(record):
    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_template(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return json.loads(text).get("chat_template") if path.endswith(".json") else text


def conversations(count, seed, paths):
    from jinja_conversations import Generator
    from jinja_environment import make_environment, outcome

    sources = []
    for path in paths:
        source = read_template(path)
        if source and source not in sources:
            sources.append(source)
    environment = make_environment()
    for number, source in enumerate(sources):
        template = environment.from_string(source)
        emit({"source": source})
        generator = Generator(f"{seed}-{number}")
        for _ in range(count // len(sources) + 1):
            text = generator.request()
            request = json.loads(text)
            variables = dict(request.pop("chat_template_kwargs"), documents=None, **request)
            expected = json.dumps(outcome(template, variables), ensure_ascii=False)
            # The request as it was spelled: its numbers are part of the question.
            sys.stdout.write(f'{{"request": {text}, "expected": {expected}}}\n')


def snippets(count, seed):
    from jinja_environment import make_environment, outcome
    from jinja_snippets import VARIABLES, RandomExpressions, all_snippets

    # Random expressions are compiled as they stand: the optimizer gives another answer for mistakes in constants, such as
    # (10)[1:], than for the same mistake in a variable.
    environments = {True: make_environment(), False: make_environment(optimized=False)}
    request = {"messages": [], "tools": None, "add_generation_prompt": False, "chat_template_kwargs": VARIABLES}
    variables = dict(VARIABLES, messages=[], tools=None, add_generation_prompt=False, documents=None)
    expressions = RandomExpressions(seed)
    sources = [(source, True) for source in all_snippets()]
    sources += [("{% set result = " + expressions.expression() + " %}{{ result }}", False) for _ in range(count)]
    emit({"request": request})
    for source, fixed in sources:
        try:
            # A copy: |indent of a list changes the list.
            expected = outcome(environments[fixed].from_string(source), copy.deepcopy(variables))
        except Exception as error:  # pylint: disable=broad-except
            expected = {"error": f"{type(error).__name__}: {error}"}
        if " at 0x" in expected.get("out", "") or "\\ud8" in source:
            continue  # an address; a lone surrogate, which UTF-8 has not
        emit({"source": source, "expected": expected, "fixed": fixed})


def main():
    warnings.simplefilter("ignore")  # Python compiles what the random expressions make
    try:
        import jinja2
    except ImportError:
        emit({"skip": "Python has no jinja2"})
        return
    if not jinja2.__version__.startswith("3.1"):
        emit({"skip": f"jinja2 is {jinja2.__version__}, wanted is 3.1"})
        return
    if sys.argv[1] == "conversations":
        conversations(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    else:
        snippets(int(sys.argv[2]), sys.argv[3])


if __name__ == "__main__":
    main()
