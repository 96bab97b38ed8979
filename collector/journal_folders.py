"""Which journals a command speaks of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Take the folder from this configuration.")]
DirectoryOption = Annotated[
    Path | None, typer.Option("--directory", help="The journal's folder. Default: .evalgate/data/journal")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def journals(config: Path | None, directory: Path | None) -> list[Path]:
    """Return the folder of the journal, or of each worker's. They need not exist."""
    from collector.config import DEFAULT_DATA_DIR  # noqa: PLC0415 - --help need not load a server
    from collector.workers.plan import leftovers  # noqa: PLC0415 - as above

    folder = directory
    if folder is None and config is not None:
        service = _load(config).service
        folder = service.journal.directory or service.data_dir / "journal"
    folder = (folder or DEFAULT_DATA_DIR / "journal").absolute()
    of_workers = list(leftovers(folder, 1))
    if of_workers and any(p.is_file() for p in folder.iterdir()):
        of_workers.insert(0, folder)
    return of_workers or [folder]


def emit(document: Any) -> None:
    """Print one JSON document."""
    import orjson  # noqa: PLC0415 - as above

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def emit_all(documents: list[dict[str, Any]]) -> None:
    """Print the document of one journal, or those of several."""
    emit(documents[0] if len(documents) == 1 else {"journals": documents})


def _load(path: Path) -> Any:
    from collector.components import installed  # noqa: PLC0415 - as above
    from collector.config import load  # noqa: PLC0415 - as above

    return load(path, installed(), os.environ)
