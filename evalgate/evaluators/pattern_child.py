"""The program of the child process that searches patterns and fits schemas; see child.py for its lines."""

from __future__ import annotations

import json
import re
import sys
from typing import Any


def library_mistake(value: Any, schema: Any) -> str | None:
    """Return how a value does not fit a JSON Schema, None if it fits. Nothing is fetched.

    Raises:
        ValueError: the schema itself is wrong.

    """
    import jsonschema  # noqa: PLC0415 - 0.1 s
    import referencing.exceptions  # noqa: PLC0415

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        checked = kind(schema, registry=referencing.Registry())
        error = jsonschema.exceptions.best_match(checked.iter_errors(value))
    except jsonschema.SchemaError as e:
        raise ValueError(f"the schema itself is wrong: {e.message}") from None
    except referencing.exceptions.Unresolvable as e:
        raise ValueError(f"the schema points at what is not in it: {e}") from None
    except RecursionError:
        raise ValueError("the output, or the schema, is nested too deep") from None
    return None if error is None else f"at {error.json_path}: {error.message}"


def answer(question: Any) -> dict[str, Any]:
    """Return the answer to one question."""
    if "schema" in question:
        try:
            return {"mistake": library_mistake(question["value"], question["schema"])}
        except ValueError as e:
            return {"error": str(e)[:1000]}
    found = re.search(question["pattern"], question["text"], re.IGNORECASE if question["ignore_case"] else 0)
    return {"span": found.span() if found else None}


def main() -> None:
    """Answer until nobody asks."""
    if "schemas" in sys.argv:
        import jsonschema  # noqa: F401, PLC0415 - it is loaded before the first deadline begins

    out = sys.stdout
    out.write('{"ready": true}\n')
    out.flush()
    for line in sys.stdin:
        question = json.loads(line)
        said = answer(question)
        if isinstance(mistake := said.get("mistake"), str):
            said["mistake"] = mistake[:1000]
        out.write(json.dumps({"id": question["id"], **said}) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
