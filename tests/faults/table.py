"""Write the table of docs/reliability.md from the docstrings of the fault tests: `table.py --write`.

Without --write it prints the table.
"""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":  # pragma: no cover - pytest sets the path itself
    sys.path.insert(0, str(ROOT))

from tests.faults.matrix import GROUPS, IDS, NOT_YET, Fault, faults, missing  # noqa: E402 - see above

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"


def table(found: list[Fault]) -> str:
    """Return the part of the page between its two marks."""
    lines = []
    for letters, rows in groupby(found, key=lambda f: list(GROUPS)[f.order[0]]):
        lines += [f"### {GROUPS[letters]}", "", "| id | injected | holds | figure |", "|---|---|---|---|"]
        lines += [f"| {f.id} | {cell(f.injected)} | {cell(f.holds)} | {cell(f.figure)} |" for f in rows]
        lines.append("")
    waiting = [
        f"- {', '.join(i for i in IDS if NOT_YET.get(i) == why)}: {why}" for why in dict.fromkeys(NOT_YET.values())
    ]
    lines += ["### Not yet", "", "These rows belong to what does not exist yet:", "", *waiting, ""]
    if gaps := missing(found):
        lines += [f"Without a test, though what they need exists: {', '.join(gaps)}.", ""]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Return a text that stays in its cell."""
    return text.replace("|", "\\|")


def with_table(page: str, text: str) -> str:
    """Return the page with another table.

    Raises:
        ValueError: the page has not got the two marks.

    """
    parts = re.fullmatch(f"(.*{BEGIN})(.*)({END}.*)", page, re.DOTALL)
    if parts is None:
        raise ValueError(f"{PAGE} has no {BEGIN.strip()} … {END.strip()}")
    return f"{parts[1]}\n{text}\n{parts[3]}"


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    text = table(faults())
    if arguments == ["--write"]:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    elif arguments:
        print(__doc__, file=sys.stderr)
        return 2
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
