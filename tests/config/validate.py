"""Validates TOML or JSON files (arguments) with a JSON Schema (standard input). Prints a line of JSON for each, with place and keyword of its errors."""

import datetime
import json
import sys
import tomllib

import jsonschema


def as_an_editor_shows_it(value):
    """Converts dates to strings, because JSON has no dates."""
    if isinstance(value, dict):
        return {key: as_an_editor_shows_it(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_an_editor_shows_it(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


schema = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        document = json.load(file) if name.endswith(".json") else as_an_editor_shows_it(tomllib.load(file))
    errors = validator.iter_errors(document)
    print(json.dumps(sorted(f"{error.json_path} {error.validator}" for error in errors)))
