"""Where machine code is kept, and who makes it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from collector import kernel_cache
from collector.kernel_cache import choose_folder, fill
from schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """Return an installation whose source folders take no files: a file stands where each of them would be."""
    root = tmp_path / "installed"
    for source in kernel_cache.SOURCES:
        (root / source).mkdir(parents=True)
        (root / source / "__pycache__").touch()
    return root


@pytest.fixture
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "kernels"
    folder.mkdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")
    return folder


def test_a_named_folder_is_taken(tmp_path: Path, installation: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "named")}
    assert choose_folder(environment, root=installation) == tmp_path / "named"


def test_an_installation_that_can_be_written_keeps_its_own(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    assert choose_folder(environment, root=tmp_path) is None
    assert "NUMBA_CACHE_DIR" not in environment


def test_a_read_only_installation_keeps_them_with_the_user(tmp_path: Path, installation: Path) -> None:
    environment = {"HOME": str(tmp_path / "home")}
    folder = choose_folder(environment, root=installation)
    assert folder == tmp_path / "home/.cache/otel-evalgate/kernels"
    assert environment["NUMBA_CACHE_DIR"] == str(folder)


def test_what_an_image_brings_is_copied_where_it_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "image"
    (image / "decode").mkdir(parents=True)
    (image / "decode/outline.nbc").write_bytes(b"code")
    monkeypatch.setattr(kernel_cache, "_writable", lambda folder: folder != image)  # root can write everywhere
    environment = {"NUMBA_CACHE_DIR": str(image)}
    folder = choose_folder(environment)
    assert folder is not None
    assert environment["NUMBA_CACHE_DIR"] == str(folder)
    assert (folder / "decode/outline.nbc").read_bytes() == b"code"
    assert folder.stat().st_mode & 0o777 == 0o700, "others must not put code there"


def test_a_folder_that_must_last_is_not_a_temporary_one(tmp_path: Path, installation: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="NUMBA_CACHE_DIR"):
        choose_folder({"NUMBA_CACHE_DIR": str(tmp_path / "file")}, root=installation, lasting=True)


def test_one_process_compiles_for_all_who_ask(nothing_kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def compile_elsewhere() -> None:
        runs.append(1)
        kernel_cache._mark().touch()

    monkeypatch.setattr(kernel_cache, "_compile_elsewhere", compile_elsewhere)
    threads = [threading.Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    fill()
    assert runs == [1]
    assert any(nothing_kept.iterdir())


def test_where_nothing_can_be_kept_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "missing"))
    monkeypatch.setattr(kernel_cache, "_compile_elsewhere", lambda: pytest.fail("there is nowhere to keep it"))
    fill()


def test_a_compiler_that_fails_is_told(
    nothing_kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with caplog.at_level(logging.WARNING):
        fill()
    assert "ended with 1" in caplog.text
    assert [p.name for p in nothing_kept.iterdir()] == ["otel-evalgate-kernels.lock"]


def test_the_process_that_compiles_ends_with_the_one_that_wanted_it(nothing_kept: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(nothing_kept)}
    command = [sys.executable, "-m", "collector.kernel_cache"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=kernel_cache.ROOT, env=environment) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(20) == 1, "whole, it takes half a minute and ends with 0"
