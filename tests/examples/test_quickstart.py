"""The quickstart's files and commands do what the page says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from schema.evaluator import parse_evaluator

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/quickstart.md").read_text()
EVALGATE = Path(sys.executable).parent / "evalgate"
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = sorted(
    {line for language, block in BLOCKS if not language for line in block.splitlines() if line.startswith("evalgate ")}
)
MODE = "policy_hallucination"
FAKE_OPENAI = '''
"""Answers from the system prompt, as the page's app would be answered."""
import re
from types import SimpleNamespace as Some


class OpenAI:
    def __init__(self):
        self.chat = Some(completions=Some(create=self.create))

    def create(self, model, messages):
        days = re.search(r"within (\\d+) days", messages[0]["content"])[1]
        return Some(choices=[Some(message=Some(content=f"You can return it within {days} days."))])
'''

OTHER_EACH_TIME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}|version [0-9a-f]{16}")
CASES = [
    {
        "case_id": f"case-{case}",
        "input": asked,
        "observed": {"output": "You can return it within 90 days."},
        "verdict": "bad" if mode else "good",
        "failure_mode": mode,
        "provenance": {"trace_id": trace},
    }
    for case, trace, asked, mode in (
        ("07d0dcc266ad70b8", "fcb887551e172651587c468012d06ba5", "Can I still return my rug after six weeks?", MODE),
        ("16461bf44e1115a8", "b4406f855d12109d84f7b2cfc82d7e86", "How long can I return a chair?", MODE),
        ("2931bc7bdcfe52cc", "f7a76be06055e2c1a1b0d5c2f3e84960", "Do you sell desks?", None),
    )
]
"""What the page's three labels made."""


def block(language: str, containing: str) -> str:
    (found,) = [text for name, text in BLOCKS if name == language and containing in text]
    return found


def evalgate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(EVALGATE), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # files change within the second that bytecode goes by
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_exists_with_its_options(command: str, tmp_path: Path) -> None:
    words = shlex.split(command)[1:]
    names = [word for word in words[: 2 if words[0] in ("cases", "dataset", "traces") else 1] if word.isalpha()]
    shown = evalgate(tmp_path, *names, "--help")
    assert shown.returncode == 0, shown.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.stdout, option


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) >= 10


def test_the_pages_app_is_stopped_and_after_its_correction_let_through(tmp_path: Path) -> None:
    app, evals = tmp_path / "my_app.py", tmp_path / "evals"
    (evals / "evaluators").mkdir(parents=True)
    (evals / "datasets").mkdir()
    (tmp_path / "openai.py").write_text(FAKE_OPENAI)
    app.write_text(block("python", "PROMPT = "))
    (evals / "target.py").write_text(block("python", "def ask"))
    (evals / "evaluators/policy_hallucination.yaml").write_text(block("yaml", "id: refund-window"))
    (evals / "datasets/support.jsonl").write_text("".join(json.dumps(c) + "\n" for c in CASES))
    for days, code in ((90, 1), (30, 0)):
        app.write_text(re.sub(r"within \d+ days", f"within {days} days", app.read_text()))
        ran = evalgate(tmp_path, "run", "--dataset", "support", "--target", "python:evals/target.py:ask")
        assert ran.returncode == 0, ran.stderr
        gated = evalgate(tmp_path, "gate")
        assert gated.returncode == code
        verdict, *_ = gated.stdout.splitlines()
        said = OTHER_EACH_TIME.sub("…", block("", verdict)).strip()
        assert said in (OTHER_EACH_TIME.sub("…", gated.stdout).strip(), verdict), gated.stdout


def test_the_pages_evaluator_is_one() -> None:
    spec = parse_evaluator(yaml.safe_load(block("yaml", "id: refund-window")))
    assert spec.failure_mode == "policy_hallucination"


def test_every_link_of_the_page_leads_to_a_file() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
