"""Where the machine code of kernels is kept, and the process that makes it.

numba compiles in Python, for half a minute with nothing kept, and holds the GIL. A collector leaves that to a process
of its own and serves meanwhile; whoever comes later loads what is kept, in about a second. One process compiles, also
for several collectors that share a folder:

    folder known? ─▶ marked as complete for this source, numba and processor ─▶ load
                          └ no ─▶ lock ─▶ child compiles ─▶ mark ─▶ load

numba refuses to keep anything, and to read what is kept, where it cannot write. Such a folder, as in an image with a
read-only root, is copied to a private temporary one.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

T = TypeVar("T")

log = logging.getLogger(__name__)

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = ("schema", "exporters/clickhouse", "collector/decode", "collector/processors")
"""Where kernels are, and what their signatures hang on."""
VARIABLE: Final = "NUMBA_CACHE_DIR"
MARK: Final = "otel-evalgate-kernels"
NICER: Final = 5


def choose_folder(
    environment: MutableMapping[str, str] = os.environ, *, root: Path = ROOT, lasting: bool = False
) -> Path | None:
    """Choose where kernels are kept, for this process and its children; call it before numba is imported.

    The first that can be written: `NUMBA_CACHE_DIR`, beside the source (None: numba's own way), the user's cache
    folder, a temporary folder that goes with the process and begins with what a `NUMBA_CACHE_DIR` holds.

    Raises:
        ConfigError: it has to be `lasting`, and there is only a temporary one.

    """
    named = environment.get(VARIABLE)
    if named and _writable(Path(named)):
        return Path(named)
    if not named and all(_writable(root / source / "__pycache__") for source in SOURCES):
        return None
    home = environment.get("XDG_CACHE_HOME") or (environment["HOME"] + "/.cache" if environment.get("HOME") else None)
    ours = Path(home) / "otel-evalgate" / "kernels" if home and not named else None
    if ours is None or not _writable(ours):
        if lasting:
            raise ConfigError(f"kernels cannot be kept in {named or ours or root}: set {VARIABLE} to a writable folder")
        try:
            ours = Path(tempfile.mkdtemp(prefix="otel-evalgate-kernels-"))
        except OSError as e:
            log.warning("no folder can be written to keep kernels in (%s): every start compiles them anew", e)
            return None
        atexit.register(shutil.rmtree, ours, ignore_errors=True)
        if named and Path(named).is_dir():
            shutil.copytree(named, ours, dirs_exist_ok=True)
            ours.chmod(0o700)  # copying copies modes too, and code is loaded from here
    environment[VARIABLE] = str(ours)
    return ours


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def filled(load: Callable[[], T]) -> Callable[[], T]:
    """Return `load` with `fill` before it."""

    def fill_and_load() -> T:
        fill()
        return load()

    return fill_and_load


def fill() -> None:
    """Return when all kernels are kept for this machine, or cannot be: then who needs them compiles them himself.

    Blocks for half a minute where nothing is kept. Any thread, and any number of processes, may call.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return
    try:
        mark = _mark()
        if mark.exists():
            return
        with _locked(mark.with_name(f"{MARK}.lock")):
            if mark.exists():
                return
            log.info("kernels are compiled by another process, which takes half a minute; all works meanwhile, slower")
            _compile_elsewhere()
    except OSError as e:
        log.debug("kernels cannot be kept: %s", e)


def _mark() -> Path:
    """Return the file that says: all that this source needs on this machine is kept here."""
    return Path(os.environ.get(VARIABLE) or ROOT / SOURCES[-2] / "__pycache__") / f"{MARK}-{_digest()}"


def _digest() -> str:
    """Return what compiled code hangs on: source, compiler, interpreter, processor."""
    import llvmlite.binding  # noqa: PLC0415 - not needed where everything is marked as kept, nor by --help

    named = [os.environ.get(name, "") for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")]
    processor = [*named, "" if named[0] else llvmlite.binding.get_host_cpu_name(), platform.machine()]
    parts = [version("numba"), version("llvmlite"), platform.python_version(), *processor]
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            state = path.stat()
            parts.append(f"{path} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile_elsewhere() -> None:
    """Run this module in a process that ends when this one does: its standard input is a pipe that nobody writes to."""
    command = [sys.executable, "-m", "collector.kernel_cache"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT) as child:
        code = child.wait()
    if code != 0:
        log.warning("the process that compiles kernels ended with %d; they are compiled here", code)


def compile_all(say: Callable[[str], None]) -> None:
    """Compile every kernel, or load it, in this process, and mark all as kept; `say` is told what comes next.

    Raises:
        Exception: whatever keeps numba from working here.

    """
    from collector.decode.decoder import load_kernels  # noqa: PLC0415 - numba takes 0.3 s to import
    from collector.decode.validator import load_check  # noqa: PLC0415 - as above
    from collector.processors import compiled  # noqa: PLC0415 - as above
    from exporters.clickhouse import warm  # noqa: PLC0415 - as above
    from exporters.otlp import written  # noqa: PLC0415 - as above

    for what, load in (
        ("validation", load_check),
        ("decoding", load_kernels),
        ("processors", compiled.load),
        ("inserts", warm.run_all),
        ("forwarding", written.warm_up),
    ):
        say(what)
        load()
    _mark().touch()


def main() -> None:
    """Compile for the process that started this one, as long as it lives."""

    def leave_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(NICER)
    compile_all(lambda _: None)
    os._exit(0)  # a thread waits for standard input


if __name__ == "__main__":
    main()
