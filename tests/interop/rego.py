"""Evaluates policies in Rego with a second engine, rego-cpp (regopy on PyPI).

Reads an array of cases as JSON: {"module": text, "data": object, "inputs": [object, ...]}. Writes, for each
case and input, what `data.p.deny` and `data.p.warn` hold: {"deny": [...], "warn": [...]}, sorted, in the last line.
"""

import json
import sys

from regopy import Interpreter


def said(interpreter, rule):
    """Returns the texts that a rule holds; none of what is undefined."""
    result = json.loads(str(interpreter.query(f"data.p.{rule}")))
    texts = [text for value in result.get("expressions", []) for text in value]
    return sorted(texts)


def judge(case):
    """Returns what a policy says of each input."""
    answers = []
    for document in case["inputs"]:
        interpreter = Interpreter()
        interpreter.add_module("p", case["module"])
        interpreter.add_data(case["data"])
        interpreter.set_input(document)
        answers.append({rule: said(interpreter, rule) for rule in ("deny", "warn")})
    return answers


print("\n" + json.dumps([judge(case) for case in json.load(sys.stdin)]))
