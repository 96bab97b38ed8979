"""Options that the commands about queues share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalgate.signals.weights import QUEUE_FILE

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name: a-z, 0-9 and -.")]
Weighted = Annotated[
    Path, typer.Option("--weights", metavar="FILE", help="Points of each signal.", show_default=str(QUEUE_FILE))
]
