"""What a team did about its traffic in two weeks, by the commands that a person types: for pictures and for checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalgate.database import open_tenant
from evalgate.queue.items import ItemState, list_items
from evalgate.queue.store import find_queue
from evalgate.review.labels import draft, save
from schema.verdict import Label, Verdict
from tests.web.seeding import CORRECTED, REVIEWERS, label, label_of
from tests.web.shop import CUT_OFF, IGNORED, INVENTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.web.shop import Told

COMMAND: Final = Path(sys.executable).parent / "evalgate"
TIMEOUT_S: Final = 120
QUEUE: Final = "refunds"
INSTRUCTIONS: Final = "Look whether the window of returns is that of the policy: 30 days."
LATER: Final = 250
"""So many of the traces are labelled last: their cases are in the second version of the dataset."""
BETTER: Final = "Yes: within 30 days of delivery, unused or damaged on arrival. I have sent you a label."
"""What an author writes into a few cases by hand."""
EVALUATORS: Final[Mapping[str, str]] = {
    "refund-window": f"failure_mode: {INVENTED}\nrule:\n  type: not_contains\n  text: 90 days\n",
    "whole-answer": f"failure_mode: {CUT_OFF}\nrule:\n  type: regex\n  pattern: '[.?!]$'\n",
}
TARGET: Final = '''"""The assistant after the repair: it keeps to the policy."""


def answer(request):
    text = str(request)
    if "Summarise" in text:
        return "Customers like the colours. Two in ten report scratches. Refunds are paid within five days."
    return "Yes. It may be returned within 30 days; I have sent you a label."
'''


@dataclass(frozen=True, slots=True)
class Project:
    """A folder in which `evalgate up` runs."""

    folder: Path

    def run(self, *words: str, may_fail: bool = False) -> str:
        """Run a command of ours there."""
        return self._call([str(COMMAND), *words], may_fail=may_fail)

    def git(self, *words: str) -> str:
        """Run git there, as nobody in particular."""
        named = ["-c", "user.name=ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
        return self._call(["git", *named, *words], may_fail=False)

    def _call(self, command: Sequence[str], *, may_fail: bool) -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EVALGATE_")}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode and not may_fail:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def tell(project: Project, dsn: str, told: Sequence[Told]) -> None:
    """Label, take issues up, make a dataset and evaluators, repair, review a queue. `told`: what was sent."""
    files(project)
    with open_tenant(dsn, None, writes=True) as database:
        label(database, told[:-LATER])
    ada = ("--actor", REVIEWERS[0])
    numbers = issue_numbers(project)
    project.run("issues", "merge", str(numbers["answer cut off"]), str(numbers["answers cut off"]),
                "--reason", "the same thing", *ada)  # fmt: skip
    project.run("issues", "acknowledge", str(numbers[IGNORED]), *ada)
    project.run("issues", "acknowledge", str(numbers[INVENTED]), "--reason", "three customers called", *ada)
    project.run("promote", "--all", "--reason", "met in production, the right answer is clear", *ada)
    project.run("dataset", "build", "--name", "support", "--criteria", "what customers met on release 1.4.2")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "The first cases out of production")
    with open_tenant(dsn, None, writes=True) as database:
        label(database, told[-LATER:], seed=4)
    project.run("promote", "--all", "--reason", "met in production, the right answer is clear", *ada)
    project.run("dataset", "build", "--name", "support")
    path = project.folder / "evals" / "datasets" / "support.jsonl"
    path.write_text(path.read_text().replace(CORRECTED, BETTER, 3))
    project.run("synthesize", "--dataset", "support", "--failure-mode", INVENTED, "--count", "6",
                "--actor", REVIEWERS[1], may_fail=True)  # fmt: skip
    folder = project.folder / "evals" / "evaluators"
    folder.mkdir(parents=True)
    for name, text in EVALUATORS.items():
        (folder / f"{name}.yaml").write_text(f"id: {name}\n{text}")
        project.run("evals", "align", name, may_fail=True)
    for target in ("recorded", "python:assistant.py:answer"):
        project.run("run", "--dataset", "support", "--target", target, may_fail=True)
    project.run("cluster", "run")
    project.run("cluster", "run", "--all")
    project.run("queue", "create", QUEUE, "--where", "feature = refunds", "--reviewers", "2", "--size", "24",
                "--instructions", INSTRUCTIONS, *ada)  # fmt: skip
    project.run("queue", "fill", QUEUE)
    review(dsn, told)
    project.run("issues", "list")


def files(project: Project) -> None:
    """Write what a person writes by hand, and put the folder under git."""
    (project.folder / "assistant.py").write_text(TARGET)
    (project.folder / ".gitignore").write_text(".evalgate/\nup.log\nready.json\n")
    project.git("init", "-q", "-b", "main")


def review(dsn: str, told: Sequence[Told]) -> None:
    """Let two people review some items of the queue; they differ on one."""
    of = {t.trace_id: t for t in told}
    with open_tenant(dsn, None, writes=True) as database:
        waiting = list_items(database, find_queue(database, QUEUE), state=ItemState.WAITING)
        for n, item in enumerate(waiting[:10]):
            one = of[item.trace_id]
            for who in REVIEWERS if n < 7 else REVIEWERS[:1]:
                differs = n == 3 and who == REVIEWERS[1]
                said = Label(one.trace_id, "", Verdict.PARTIAL, queue=QUEUE, annotator=who) if differs else (
                    label_of(one, who, queue=QUEUE)
                )  # fmt: skip
                save(database, [draft(database, said)])


def issue_numbers(project: Project) -> dict[str, int]:
    """Return the number of each failure mode."""
    listed = json.loads(project.run("issues", "list", "--json"))
    rows = listed if isinstance(listed, list) else listed["issues"]
    return {r["failure_mode"]: int(r["id"]) for r in rows}
