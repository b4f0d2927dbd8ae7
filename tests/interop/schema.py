"""Holds documents against a JSON Schema, with a validator written by others (jsonschema on PyPI).

Reads {"schema": object, "documents": [value, ...]} as JSON. Writes, for each document, where and how it breaks the
schema, or null if it does not.
"""

import json
import sys

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


def judge(validator, document):
    """Returns what is wrong with a document; None if nothing is."""
    error = best_match(validator.iter_errors(document))
    return None if error is None else f"{error.json_path}: {error.message}"


asked = json.load(sys.stdin)
Draft202012Validator.check_schema(asked["schema"])
checked = Draft202012Validator(asked["schema"])
print(json.dumps([judge(checked, document) for document in asked["documents"]]))
