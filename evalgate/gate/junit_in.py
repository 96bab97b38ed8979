"""Reads the JUnit XML that test runners write: every test is a case, every rerun of it an attempt.

    <testsuites><testsuite name><testcase classname name time>
        nothing                                   it passed
        <failure message>text</failure>           it failed
        <error message>text</error>               something broke: no verdict
        <skipped message/>                        no verdict, and nothing broke
        <rerunFailure|rerunError>                 it failed before as well         (Surefire, pytest-rerunfailures)
        <flakyFailure|flakyError>                 it failed before, then passed

A test that stands in the file several times was tried several times. The file is hostile until it is read: a document
type is refused, and with it every entity; size, depth, tests and text are bounded.
Forms: https://github.com/testmoapp/junitxml and https://maven.apache.org/surefire/maven-surefire-plugin/xsd/surefire-test-report.xsd
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from xml.parsers import expat

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_FILE_BYTES = 128 * 1024 * 1024
MAX_TESTS = 100_000
MAX_DEPTH = 64
MAX_NAME_CHARS = 500
MAX_TEXT_CHARS = 4_000
"""Of what one attempt says; the end of a traceback says most, so the end is kept."""
ROOTS = ("testsuites", "testsuite")


class Outcome(StrEnum):
    """What one attempt of a test came to."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


BEFORE = {
    "rerunFailure": Outcome.FAILED,
    "rerunError": Outcome.ERROR,
    "flakyFailure": Outcome.FAILED,
    "flakyError": Outcome.ERROR,
}
"""Attempts before the last one."""
LAST = {"failure": Outcome.FAILED, "error": Outcome.ERROR, "skipped": Outcome.SKIPPED}


@dataclass(frozen=True, slots=True)
class TestAttempt:
    """One time that a test was run."""

    __test__ = False  # pytest would collect a class of this name

    outcome: Outcome
    message: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test in all its attempts."""

    __test__ = False

    test_id: str
    suite: str
    attempts: tuple[TestAttempt, ...]


@dataclass(slots=True)
class _Seen:
    """A testcase that is being read."""

    suite: str
    name: str
    duration_s: float
    before: list[TestAttempt] = field(default_factory=list)
    last: TestAttempt | None = None

    def attempts(self) -> list[TestAttempt]:
        return [*self.before, self.last or TestAttempt(Outcome.PASSED, "", self.duration_s)]


def read_junit(path: Path) -> tuple[TestResult, ...]:
    """Return the tests of a file, in its order.

    Raises:
        BadInput: it cannot be read, is too large, or is not JUnit XML.

    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as e:
        raise BadInput(f"cannot read the results {path}: {e.strerror or e}") from None
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"the results {path} are larger than {MAX_FILE_BYTES} bytes")
    reader = _Reader(str(path))
    reader.read(data)
    return _joined(reader.found)


class _Reader:
    """Follows the elements of one document."""

    def __init__(self, where: str) -> None:
        self.found: list[_Seen] = []
        self._where = where
        self._open: list[str] = []
        self._suites: list[str] = []
        self._test: _Seen | None = None
        self._text: list[str] | None = None
        self._said = ""

    def read(self, data: bytes) -> None:
        """Read a whole document."""
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.EntityDeclHandler = self._refuse_doctype
        parser.ExternalEntityRefHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data, True)  # noqa: FBT003 - expat's signature
        except expat.ExpatError as e:
            where = f"line {e.lineno}, column {e.offset + 1}"
            raise BadInput(f"{self._where} is not JUnit XML: {expat.ErrorString(e.code)} ({where})") from None
        except (LookupError, ValueError) as e:
            raise BadInput(f"{self._where} is not JUnit XML: {e}") from None

    def _refuse_doctype(self, *_: object) -> int:
        raise BadInput(f"{self._where} declares a document type; results of tests need none, so it is not read")

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = tag.rpartition("}")[2].rpartition(":")[2]
        if not self._open and name not in ROOTS:
            raise BadInput(f"{self._where} is not JUnit XML: it begins with <{name[:40]}>, not with <testsuites>")
        self._open.append(name)
        if len(self._open) > MAX_DEPTH:
            raise BadInput(f"{self._where} is nested deeper than {MAX_DEPTH} elements")
        if name == "testsuite":
            self._suites.append(attributes.get("name", "")[:MAX_NAME_CHARS])
        elif name == "testcase":
            self._begin(attributes)
        elif self._test is not None and (name in LAST or name in BEFORE):
            self._text = []
            self._said = attributes.get("message", "") or attributes.get("type", "")

    def _begin(self, attributes: Mapping[str, str]) -> None:
        if len(self.found) == MAX_TESTS:
            raise BadInput(f"{self._where} holds more than {MAX_TESTS} tests")
        if self._test is not None:
            raise BadInput(f"{self._where} is not JUnit XML: a <testcase> stands in another")
        name = attributes.get("name", "").strip()
        if not name:
            raise BadInput(f"{self._where} is not JUnit XML: a <testcase> has no name")
        owner = attributes.get("classname", "").strip() or attributes.get("file", "").strip()
        whole = f"{owner} > {name}" if owner else name
        self._test = _Seen(self._suites[-1] if self._suites else "", _bounded(whole), _seconds(attributes.get("time")))

    def _end(self, _tag: str) -> None:
        name = self._open.pop()
        if name == "testsuite":
            self._suites.pop()
        elif name == "testcase" and self._test is not None:
            self.found.append(self._test)
            self._test = None
        elif self._test is not None and self._text is not None and (name in LAST or name in BEFORE):
            self._close_outcome(self._test, name, "".join(self._text).strip())
            self._text = None

    def _close_outcome(self, test: _Seen, name: str, text: str) -> None:
        message = self._said.strip()
        if text and not text.startswith(message):
            message = f"{message}\n{text}" if message else text
        elif text:
            message = text
        attempt = TestAttempt(BEFORE.get(name) or LAST[name], message[-MAX_TEXT_CHARS:], test.duration_s)
        if name in BEFORE:
            test.before.append(attempt)
        elif test.last is None or attempt.outcome is Outcome.ERROR:  # broken outweighs failed
            test.last = attempt

    def _characters(self, text: str) -> None:
        if self._text is not None and self._open[-1] in {*LAST, *BEFORE}:
            self._text.append(text)


def _joined(found: list[_Seen]) -> tuple[TestResult, ...]:
    """Return the tests; entries of one name and suite are attempts of one test."""
    suites: dict[str, set[str]] = {}
    for seen in found:
        suites.setdefault(seen.name, set()).add(seen.suite)
    joined: dict[str, TestResult] = {}
    for seen in found:
        # the same name in two suites (two browsers, two shards) is two tests
        test_id = _bounded(f"{seen.suite} > {seen.name}") if len(suites[seen.name]) > 1 else seen.name
        earlier = joined[test_id].attempts if test_id in joined else ()
        joined[test_id] = TestResult(test_id, seen.suite, (*earlier, *seen.attempts()))
    return tuple(joined.values())


def _bounded(name: str) -> str:
    if len(name) <= MAX_NAME_CHARS:
        return name
    import hashlib  # noqa: PLC0415 - names are short but for a few

    return f"{name[: MAX_NAME_CHARS - 17]}~{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _seconds(text: str | None) -> float:
    """Return a duration; some runners write 1,234.5, some nothing."""
    try:
        seconds = float((text or "0").replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e9 else 0.0
