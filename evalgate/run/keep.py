"""Which runs stay on disk: the newest, and those that something rests on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from evalgate.places import BASELINE, LAST_REPORT
from evalgate.run.partial import SUFFIX
from evalgate.run_files import LATEST, RUNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEFAULT_RUNS: Final = 100
"""Of 1 000 cases each takes some 2 MB."""
NAMING: Final = (BASELINE, LAST_REPORT, RUNS / f"{LATEST}.json")
"""Files whose runs stay, however old: what was accepted, what the last gate judged, the latest."""


def prune_runs(keep: int, root: Path = RUNS, naming: Sequence[Path] = NAMING) -> list[str]:
    """Remove the oldest runs beyond `keep`, but none whose id one of the files `naming` holds; return the ids.

    What was not finished stays: it can be taken up again. A file that cannot be removed is left; the next run tries
    again.
    """
    runs = sorted((p for p in root.glob("*.json") if p.stem != LATEST), key=lambda p: (p.stat().st_mtime_ns, p.name))
    old = runs[: max(0, len(runs) - keep)]
    if not old:
        return []
    said = [text for path in naming if (text := _text(path))]
    gone = []
    for path in old:
        if any(path.stem in text for text in said):
            continue
        with contextlib.suppress(OSError):
            path.unlink()
            path.with_name(f"{path.stem}{SUFFIX}").unlink(missing_ok=True)
            gone.append(path.stem)
    return gone


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
