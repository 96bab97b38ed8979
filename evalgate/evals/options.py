"""Options that the commands about evaluators share, and the project's rule of permission."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from schema.alignment import PermissionPolicy, PermissionRule

Datasets = Annotated[
    list[str],
    typer.Option("--dataset", "-d", help="Labelled cases of a file, instead of the database's. May be repeated."),
]
Folder = Annotated[Path, typer.Option("--evaluators", help="Folder of evaluator files.")]


def permission_policy(rule: PermissionRule | None = None) -> PermissionPolicy:
    """Return what permission asks for in this project: `policy.permission` of evals/gate.yaml, as the gate reads it.

    `rule` is what the command line says, and goes before.

    Raises:
        EvalgateError: the file is there and wrong.

    """
    from evalgate.gate.settings import project_policy  # noqa: PLC0415 - pydantic: 0.2 s that --help need not take

    policy = project_policy().permission.policy
    return policy if rule is None else replace(policy, rule=rule)
