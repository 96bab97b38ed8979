"""The fault matrix as the test modules of this folder tell it, each in its docstring."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
GROUPS = {
    "K": "Crashes",
    "P": "Power cuts",
    "D": "Disks",
    "C": "Databases and other destinations",
    "N": "Networks and senders",
    "I": "Inputs",
    "T": "Time",
    "L": "Load",
    "S": "Security",
    "CVE": "Advisories",
    "": "Across them",
}
"""By the letters of an id; what is no id of the matrix stands under the last."""
LAST = {"K": 16, "P": 4, "D": 14, "C": 12, "N": 8, "I": 12, "T": 6, "L": 4, "S": 8, "G": 2}
IDS = tuple(f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1))
NOT_YET = {
    "S3": "judges",
    "S4": "judges",
    "S6": "webhooks",
    "S7": "generated evaluators",
    "G1": "the gate's own faults",
    "G2": "the gate's own faults",
}
"""What a row waits for."""
USUAL_S = 60.0
UNKNOWN_S = 600.0
TITLE = re.compile(r"(?P<id>[A-Za-z][- \w]*): (?P<title>.+?)\.?")
FIELD = re.compile(r"(Injected|Holds|Figure): (.*?)(?=\n(?:Injected|Holds|Figure): |\n\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """One row."""

    id: str
    title: str
    injected: str
    holds: str
    figure: str
    path: Path
    alone: bool
    """Nothing may run beside it."""
    longest_s: float
    """The longest `timeout` that a test of it is marked with."""

    @property
    def order(self) -> tuple[int, list[int]]:
        """Where it stands in the table."""
        letters = re.match(r"[A-Z]+(?=-?\d)", self.id)
        group = letters[0] if letters and letters[0] in GROUPS else ""
        return list(GROUPS).index(group), [int(n) for n in re.findall(r"\d+", self.id)]


def read(path: Path) -> Fault:
    """Return the row that a test module tells.

    Raises:
        ValueError: its docstring does not begin with the id of its file and a title, or lacks one of the three lines.

    """
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    text = ast.get_docstring(tree) or ""
    title = TITLE.fullmatch(text.partition("\n")[0])
    stem = path.stem.removeprefix("test_")
    if title is None or (re.search(r"\d", stem) and re.sub("[- ]", "_", title["id"].lower()) != stem):
        raise ValueError(
            f"{path.name}: its docstring does not begin with its id and a title, as in 'K1: what happens.'"
        )
    fields = {name: " ".join(value.split()) for name, value in FIELD.findall(text)}
    if missing := {"Injected", "Holds", "Figure"} - fields.keys():
        raise ValueError(f"{path.name}: its docstring has no line {', '.join(sorted(missing))}:")
    marks = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    longest_s = max(timeouts(tree), default=USUAL_S)
    return Fault(
        title["id"],
        title["title"],
        fields["Injected"],
        fields["Holds"],
        fields["Figure"],
        path,
        "alone" in marks,
        longest_s,
    )


def timeouts(tree: ast.AST) -> list[float]:
    """Return the seconds of every `pytest.mark.timeout`; what is no plain number is taken as UNKNOWN_S."""
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "pytest.mark.timeout")
    arguments = (call.args[0] for call in calls)
    return [float(str(a.value)) if isinstance(a, ast.Constant) else UNKNOWN_S for a in arguments]


def faults(folder: Path = HERE) -> list[Fault]:
    """Return every row there is, in the order of the table. Raises as `read`."""
    return sorted((read(path) for path in folder.glob("test_*.py")), key=lambda f: (f.order, f.id))


def missing(found: list[Fault]) -> list[str]:
    """Return the ids that have no test though what they need exists."""
    return [i for i in IDS if i not in NOT_YET and i not in {f.id for f in found}]
