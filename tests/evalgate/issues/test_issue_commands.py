"""`evalgate issues` and `evalgate modes` as a person types them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run
from evalgate.evals.mode_files import mentions, rewrite
from evalgate.review.labels import draft, save
from schema.verdict import Label, Severity, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.evalgate.traffic import Traffic

A, B, C = (f"0{x}" * 16 for x in "abc")
RULE = "id: kind\nfailure_mode: tone  # how we speak\nrule: {type: not_contains, text: ' 90 '}\n"


def test_issues_and_modes_on_the_command_line(
    traffic: Traffic, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str, code: int = 0) -> str:
        assert run([*arguments, "--dsn", dsn]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    db = traffic.database
    for trace_id, mode in ((A, "tone"), (B, "Tone!"), (C, "policy")):
        traffic.refund(trace_id)
        label = Label(trace_id, "", Verdict.BAD, mode, annotator="ann", severity=Severity.HIGH)
        save(db, [draft(db, label)])
    (project / "evals/evaluators").mkdir(parents=True)
    file = project / "evals/evaluators/kind.yaml"
    file.write_text(RULE)
    assert "nearly the same: Tone! (2) and tone (1). If they are one: evalgate issues merge 2 1" in command(
        "modes", "list"
    )
    merged = command("issues", "merge", "2", "1", "--actor", "bob", "--reason", "one and the same")
    assert "issue 2 (Tone!) was merged into issue 1 (tone): one and the same" in merged
    assert "1 case says so now" in merged
    renamed = command("modes", "rename", "tone", "unkind: tone", "--write", "--actor", "bob")
    assert 'kind.yaml line 2: failure_mode: tone  # how we speak\nnow: failure_mode: "unkind: tone"  # how' in renamed
    assert file.read_text() == RULE.replace("tone ", '"unkind: tone" ')
    assert command("issues", "ignore", "3", "--reason", "by design", "--actor", "bob").startswith(
        "issue 3: new → ignored: by design\nnext: "
    )
    listed = command("issues", "list")
    assert [line.split()[:4] for line in listed.splitlines()[1:2]] == [["1", "unkind:", "tone", "covered"]]
    assert listed.splitlines()[-1] == "1 issue verified, archived or ignored: evalgate issues list --all"
    not_shown = command("issues", "verify", "1", "--evidence", code=2)
    assert "not shown to be gone: not seen in 0 labelled traces" in not_shown
    told = json.loads(command("issues", "verify", "1", "--reason", "shipped", "--actor", "bob", "--json"))
    assert (told[0]["from"], told[0]["to"], told[0]["actor"]) == ("covered", "verified", "bob")
    assert "was renamed to unkind: tone, taken back" in command("modes", "undo", "--write")
    assert file.read_text() == RULE
    shown = json.loads(command("issues", "show", "1", "--json"))
    assert [c["action"] for c in shown["lineage"]] == ["merged", "renamed"]
    assert [(t["to"], t["is_automatic"]) for t in shown["transitions"]] == [("covered", True), ("verified", False)]
    assert (shown["severity"], shown["words"], len(shown["days"])) == ("high", ["Tone!"], 28)


@pytest.mark.parametrize(
    ("text", "new", "expected"),
    [
        ("failure_mode: tone\r\nid: a\r\n", "x y", "failure_mode: x y\r\nid: a\r\n"),
        ("{id: a, failure_mode: 'tone', applies_to: {failure_mode: [other, tone]}}", "a, b",
         '{id: a, failure_mode: "a, b", applies_to: {failure_mode: [other, "a, b"]}}'),
        ("failure_mode:   tone\ndescription: tone\ncoverage_target: tone", "null",
         'failure_mode:   "null"\ndescription: tone\ncoverage_target: "null"'),
        ("failure_mode: other\n# tone\n", "x", "failure_mode: other\n# tone\n"),
        ("failure_mode: [tone\n", "x", "failure_mode: [tone\n"),
        ("- tone\n", "x", "- tone\n"),
    ],
)  # fmt: skip
def test_of_an_evaluator_file_nothing_but_the_name_changes(tmp_path: Path, text: str, new: str, expected: str) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(text.encode())
    shown = mentions(tmp_path, "tone", new)
    assert bool(shown) is (text != expected)
    assert path.read_bytes() == text.encode(), "showing changes nothing"
    assert bool(rewrite(tmp_path, "tone", new)) is (text != expected)
    assert path.read_bytes() == expected.encode()
