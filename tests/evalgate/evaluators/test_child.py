"""A child answers the question it was asked, once, in time; else it is ended, and the next question has a new one."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

import pytest

from evalgate.evaluators.child import MAX_ANSWER_BYTES, Child, ChildFailed, NeverReady

if TYPE_CHECKING:
    from pathlib import Path

LOOP = """
import json, sys
def say(text):
    sys.stdout.write(text); sys.stdout.flush()
say('{"ready": true}\\n')
for line in sys.stdin:
    asked = json.loads(line)
    good = json.dumps({"id": asked["id"], "said": asked.get("say")}) + "\\n"
    if asked.get("say") == "well":
        say(good)
    else:
        """


def child(deed: str) -> Child:
    return Child([sys.executable, "-I", "-S", "-c", LOOP + deed])


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("say(good + good)", "more than one answer"),
        ("say(good + '{')", "more than one answer"),
        ('say(\'{"id": "0", "said": 1}\\n\')', "another question"),
        ("say('{\"said\": 1}\\n')", "another question"),
        ("say('[1]\\n')", "is not an object"),
        ("say('passed\\n')", "is not JSON"),
        ("say('[' * 50_000 + '\\n')", "is not JSON"),
        (f"say('x' * {MAX_ANSWER_BYTES + 1})", "longer than"),
        ("sys.exit(3)", "exit 3"),
        ("import os; os.abort()", "SIGABRT"),
        ("import os; os.close(1); sys.stdin.read()", "closed its output"),
        ("sys.stdin.read()", "no answer within 0.5 s"),
        ("say(good[:5]); sys.stdin.read()", "no answer within 0.5 s"),
    ],
)
def test_what_is_no_answer_is_told_and_the_next_question_is_answered(deed: str, words: str) -> None:
    asked = child(deed)
    with pytest.raises(ChildFailed) as error:
        asked.ask({"say": "ill"}, 0.5)
    assert words in str(error.value)
    assert asked.pid is None
    assert asked.ask({"say": "well"}, 20) == {"said": "well"}
    asked.close()


def test_an_earlier_answer_is_no_answer_to_the_next_question() -> None:
    asked = child("say(good); sys.stdin.readline(); say(good)")
    assert asked.ask({"say": "ill"}, 20) == {"said": "ill"}
    with pytest.raises(ChildFailed, match="another question"):
        asked.ask({"say": "well"}, 20)
    asked.close()


def test_a_question_may_be_larger_than_a_pipe() -> None:
    asked = child("pass")
    assert asked.ask({"say": "well", "text": "x" * 3_000_000}, 60) == {"said": "well"}
    asked.close()


def test_one_that_never_reads_does_not_hold_the_question_back() -> None:
    asked = Child(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            LOOP.replace("for line in sys.stdin:", "import signal; signal.pause()\nfor line in []:") + "pass",
        ]
    )
    with pytest.raises(ChildFailed, match=r"no answer within 0\.3 s"):
        asked.ask({"text": "x" * 3_000_000}, 0.3)
    asked.close()


def test_what_does_not_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="cannot start"):
        Child([str(tmp_path / "absent")]).ask({}, 5)
    with pytest.raises(ChildFailed, match="did not start as it should"):
        Child([sys.executable, "-I", "-S", "-c", "print('{}')"]).ask({}, 5)
    with pytest.raises(NeverReady, match="exit 3"):
        Child([sys.executable, "-I", "-S", "-c", LOOP + "sys.exit(3)"], first={"say": "ill"}).ask({}, 5)


def test_a_child_ends_with_the_one_who_asked() -> None:
    asked = child("pass")
    asked.ask({"say": "well"}, 20)
    pid = asked.pid
    assert pid is not None
    del asked
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
