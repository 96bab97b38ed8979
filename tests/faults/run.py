"""Run every fault test, two files at a time: `make faults`. Says how far it is, and keeps the figures.

    .cache/faults/<id>.xml       what pytest says of a file
    .cache/faults/<id>.log       its output
    .cache/faults/summary.json   id, outcome, seconds, figures of all; the next run starts the longest first

Exit codes: 0 all passed, 1 not, 2 wrong arguments. Ids as arguments run those alone: `run.py K10 D7`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":  # pragma: no cover - pytest sets the path itself
    sys.path.insert(0, str(ROOT))

from tests.faults.matrix import Fault, faults  # noqa: E402 - see above

OUT = ROOT / ".cache" / "faults"
SIDE_BY_SIDE = 2
BUDGET_S = 40 * 60.0
"""What is not done by then is ended and counts as failed."""
POLL_S = 0.1


@dataclass(slots=True)
class Result:
    """What came of one file."""

    id: str
    outcome: str
    """passed, skipped, failed, or late."""
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    kills: int = 0
    figures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """One file under way."""

    fault: Fault
    process: subprocess.Popen[bytes]
    began_s: float


def start(fault: Fault) -> Run:
    """Start pytest on one file, in a session of its own so that it can be ended whole."""
    name = fault.id.lower()
    (OUT / f"{name}.xml").unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(fault.path),
        "--faults",
        "-q",
        "--junitxml",
        str(OUT / f"{name}.xml"),
    ]
    command += ["-o", "junit_family=xunit1", "-p", "no:cacheprovider"]
    with (OUT / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    return Run(fault, process, time.monotonic())


def finish(run: Run, *, late: bool = False) -> Result:
    """Return what came of it; what is late is ended."""
    if late:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
    result = Result(run.fault.id, "late" if late else "failed", round(time.monotonic() - run.began_s, 1))
    path = OUT / f"{run.fault.id.lower()}.xml"
    if late or not path.exists():
        result.failed = 1
        return result
    count(ET.parse(path).getroot(), result)  # noqa: S314 - written by pytest just now
    if run.process.returncode == 0:
        result.outcome = "passed" if result.passed else "skipped"
    else:
        result.failed = max(result.failed, 1)
    return result


def count(report: ET.Element, result: Result) -> None:
    """Count the tests of one report, and gather its figures."""
    for case in report.iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            result.failed += 1
        elif "skipped" in kinds:
            result.skipped += 1
        else:
            result.passed += 1
        for each in case.iter("property"):
            value = each.get("value", "")
            if each.get("name") == "kills":
                result.kills += int(value)
            elif each.get("name") == "figure" and value:
                label = case.get("name", "").partition("[")[2].removesuffix("]")
                result.figures.append(f"{label}: {value}" if label else value)


def clock(seconds: float) -> str:
    """Return minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def run_all(chosen: list[Fault]) -> list[Result]:
    """Run the files; say what is under way and what came of it."""
    began_s, results, under_way = time.monotonic(), list[Result](), list[Run]()
    together, alone = [f for f in chosen if not f.alone], [f for f in chosen if f.alone]

    def say(what: str) -> None:
        print(f"[{len(results):>2} of {len(chosen)}] {clock(time.monotonic() - began_s):>5}  {what}", flush=True)

    def take(queue: list[Fault], width: int) -> None:
        while queue or under_way:
            late = time.monotonic() - began_s > BUDGET_S
            while queue and len(under_way) < width and not late:
                fault = queue.pop(0)
                under_way.append(start(fault))
                say(f"{fault.id:<4} … {fault.injected}")
            for run in list(under_way):
                if late or run.process.poll() is not None:
                    under_way.remove(run)
                    results.append(finish(run, late=late and run.process.poll() is None))
                    say(f"{run.fault.id:<4} {results[-1].outcome} in {results[-1].seconds:.0f} s")
            if late:
                results.extend(Result(f.id, "late", 0.0, failed=1) for f in queue)
                queue.clear()
            time.sleep(POLL_S)

    try:
        take(together, SIDE_BY_SIDE)
        take(alone, 1)
    finally:
        for run in under_way:
            finish(run, late=True)
    return results


def summary(results: list[Result], seconds: float) -> str:
    """Return the closing table and the closing line."""
    lines = [
        f"{r.id:<4} {r.outcome:<8} {r.seconds:>6.1f} s  {'; '.join(dict.fromkeys(r.figures))}".rstrip() for r in results
    ]
    lines += [f"{r.id} failed: {OUT.relative_to(ROOT)}/{r.id.lower()}.log" for r in results if r.failed]
    passed, failed = sum(r.passed for r in results), sum(r.failed for r in results)
    acked = sum(int(n) for r in results for f in r.figures for n in re.findall(r"(\d+) spans acknowledged", f))
    if not failed:
        lines.append(f"{sum(r.kills for r in results)} kills survived; {acked} spans acknowledged, 0 lost, 0 twice")
    lines.append(f"{len(results)} faults in {clock(seconds)}")
    lines.append(f"{passed} passed, {failed} failed, {sum(r.skipped for r in results)} skipped")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    found = faults()
    ids = {f.id.upper(): f.id for f in found}
    if unknown := {a.upper() for a in arguments} - ids.keys():
        print(f"no fault has the id {', '.join(sorted(unknown))}; there are {', '.join(f.id for f in found)}")
        return 2
    wanted = {ids[a.upper()] for a in arguments}
    OUT.mkdir(parents=True, exist_ok=True)
    kept = OUT / "summary.json"
    before = {r["id"]: r["seconds"] for r in json.loads(kept.read_text())} if kept.exists() else {}
    chosen = [f for f in found if not wanted or f.id in wanted]
    began_s = time.monotonic()
    results = run_all(sorted(chosen, key=lambda f: -before.get(f.id, f.longest_s)))
    order = {f.id: i for i, f in enumerate(found)}
    results.sort(key=lambda r: order[r.id])
    if not wanted:
        kept.write_text(json.dumps([asdict(r) for r in results], indent=1, ensure_ascii=False))
        print(f"figures: {kept.relative_to(ROOT)}")
    print(summary(results, time.monotonic() - began_s))
    return 1 if any(r.failed for r in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
