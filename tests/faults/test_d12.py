"""D12: a folder that cannot be used.

Injected: the journal's folder is of another owner, on a file system that is mounted read-only, a file, a link that
leads nowhere, below a file; or its file system has no locks. One is missing, one is a link to a folder.
Holds: a start refuses in one line that names the folder and what to do; a missing folder is made, a link is followed.
Figure: 6 folders refused, 2 used.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from collector.journal import JournalOptions
from schema.errors import ConfigError
from tests.faults.journals import deliver_all, fill, small

REMEDY = r"cannot be used: .*Make it writable, or name another as service\.journal\.directory"
NOBODY = 65534
OPEN_IT = """
import asyncio, sys
from pathlib import Path
from collector.journal import Journal, JournalOptions
from schema.errors import ConfigError
try:
    asyncio.run(Journal.open(JournalOptions(Path(sys.argv[1]), max_bytes=1 << 24, segment_bytes=1 << 18)))
except ConfigError as e:
    print(e)
    raise SystemExit(2)
"""


@pytest.mark.quick
@pytest.mark.parametrize("what", ["file", "dangling link", "below a file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, what: str) -> None:
    options = small(tmp_path)
    if what == "file":
        options.directory.write_text("a file")
    elif what == "dangling link":
        options.directory.symlink_to(tmp_path / "nowhere")
    else:
        tmp_path.joinpath("x").write_text("a file")
        options = small(tmp_path / "x")
    with pytest.raises(ConfigError, match=REMEDY) as refused:
        asyncio.run(deliver_all(options))
    assert str(options.directory) in str(refused.value)


@pytest.mark.quick
def test_a_missing_folder_is_made_and_a_link_followed(tmp_path: Path) -> None:
    below = small(tmp_path / "a" / "b" / "c")
    asyncio.run(fill(below, [b"x"]))
    assert below.directory.stat().st_mode & 0o777 == 0o700
    link = small(tmp_path / "d")
    link.directory.parent.mkdir()
    link.directory.symlink_to(below.directory)
    assert asyncio.run(deliver_all(link)) == [b"x"]


@pytest.mark.quick
def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ConfigError, match=REMEDY):
        asyncio.run(deliver_all(small(tmp_path)))


@pytest.mark.quick
def test_the_folder_of_another_owner_is_refused() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder that is another's")
    folder = Path(tempfile.mkdtemp())  # nobody may look into the one of pytest
    try:
        folder.chmod(0o755)
        options = JournalOptions(folder / "journal", max_bytes=1 << 24, segment_bytes=1 << 18)
        options.directory.mkdir(mode=0o700)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(ConfigError, match=REMEDY):
                asyncio.run(deliver_all(options))
        finally:
            os.seteuid(0)
    finally:
        shutil.rmtree(folder)


def test_a_read_only_file_system_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    script = f'mount -t tmpfs -o size=1m,ro tmpfs {folder} && exec "$@"'
    wrap = ["unshare", "-r", "-m", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*wrap, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mounts of one's own are allowed here")
    done = subprocess.run(
        [*wrap, sys.executable, "-c", OPEN_IT, str(folder / "journal")],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 2, done.stderr
    assert "Read-only file system. Make it writable" in done.stdout
