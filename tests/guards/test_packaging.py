"""What is installed is ours, whole, and collides with nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from schema import ownership
from schema.component import ENTRY_POINTS, Component

ROOT = Path(__file__).resolve().parents[2]


def test_no_dependency_owns_one_of_our_import_names() -> None:
    owners = metadata.packages_distributions()
    for name in ownership.PACKAGES:
        assert set(owners.get(name, [])) <= {"otel-evalgate"}, f"{name} also comes from {owners[name]}"


def test_every_component_entry_point_resolves_to_the_component_of_that_name() -> None:
    points = [p for p in metadata.entry_points(group=ENTRY_POINTS) if p.dist and p.dist.name == "otel-evalgate"]
    assert points
    for point in points:
        component = point.load()
        assert isinstance(component, Component), point
        assert point.name == f"{component.kind}/{component.name}"


def test_the_wheel_holds_every_file_that_the_packages_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(
        ROOT, tree, ignore=shutil.ignore_patterns(".venv", ".git", ".cache", ".evalgate", "corpus", "__pycache__")
    )
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=tree, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    for package in ownership.PACKAGES:
        for file in (ROOT / package).rglob("*"):
            if file.is_file() and file.suffix in {".py", ".sql", ".toml", ".yaml", ".html", ".js", ".css", ".json"}:
                assert str(file.relative_to(ROOT)) in held
    assert not [name for name in held if name.startswith(("tests/", "examples/"))]


def test_another_owner_of_a_name_is_named_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ownership, "foreign_packages", lambda: {"schema": "/elsewhere/schema/__init__.py"})
    with pytest.raises(SystemExit) as ended:
        ownership.require_own_packages()
    assert ended.value.code == 2
    assert "schema: found at /elsewhere" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["evalgate", "evalgate-collector"])
@pytest.mark.parametrize(
    ("taken", "text", "words"),
    [
        ("schema", "", "its package 'schema' is another's, found at {where}"),
        ("schema", "raise ImportError('of another time')", "its package 'schema' is another's, found at {where}"),
        ("exporters", "", "exporters: found at {where}"),
    ],
)
def test_each_installed_command_refuses_another_owner_of_a_name(
    tmp_path: Path, script: str, taken: str, text: str, words: str
) -> None:
    """A package of that name really shadows ours, on PYTHONPATH, which comes before what is installed."""
    package = tmp_path / taken / "__init__.py"
    package.parent.mkdir()
    package.write_text(text)
    done = subprocess.run(
        [str(Path(sys.executable).parent / script), "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert words.format(where=package) in done.stderr
    assert "Traceback" not in done.stderr


def test_packages_elsewhere_are_seen_as_foreign(tmp_path: Path) -> None:
    assert ownership.foreign_packages() == {}
    assert set(ownership.foreign_packages(tmp_path)) == set(ownership.PACKAGES)


def test_the_lock_file_is_hashed_whole_and_names_no_host() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = re.findall(r"^([a-z0-9][\w.\-]*)==", lock, re.MULTILINE)
    assert len(pinned) > 50
    entries = re.split(r"^(?=[a-z0-9][\w.\-]*==)", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock
    assert "--index-url" not in lock


def test_every_declared_dependency_is_in_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = {name.lower().replace("_", "-") for name in re.findall(r"^([a-zA-Z0-9][\w.\-]*)==", lock, re.MULTILINE)}
    declared = metadata.requires("otel-evalgate") or []
    names = {re.split(r"[\s<>=!;\[]", line)[0].lower().replace("_", "-") for line in declared} - {"otel-evalgate"}
    assert names <= pinned
