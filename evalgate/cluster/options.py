"""Options that the commands about clusters share."""

from __future__ import annotations

from typing import Annotated

import typer

AllTraffic = Annotated[
    bool,
    typer.Option(
        "--all/--failing", help="Every trace that stands for traffic, or only those that failed.", show_default=False
    ),
]
