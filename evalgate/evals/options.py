"""Options that the commands about evaluators share, and the project's rule of permission."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.options import Dsn, Tenant, with_options
from evalgate.places import EVALUATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from evalgate.evals.issue_views import IssueView
    from evalgate.evals.overview import Overview
    from schema.alignment import PermissionPolicy, PermissionRule

Datasets = Annotated[
    list[str],
    typer.Option("--dataset", "-d", help="Labelled cases of a file, instead of the database's. May be repeated."),
]
Folder = Annotated[Path, typer.Option("--evaluators", help="Folder of evaluator files.")]


JudgeModel = Annotated[
    str | None,
    typer.Option(
        "--judge-model",
        envvar="EVALGATE_JUDGE_MODEL",
        metavar="NAME",
        help="The model that judges: what was measured of another is not its.",
    ),
]


@dataclass(frozen=True, slots=True)
class KnownOptions:
    """Where issues, labels and evaluators are read from."""

    dataset: Datasets = ()  # type: ignore[assignment]  # typer makes a list of it
    evaluators: Folder = EVALUATORS
    judge_model: JudgeModel = None
    tenant: Tenant = None
    dsn: Dsn = None

    def look(self) -> Overview:
        """Read everything, by the project's rule of permission.

        Raises:
            EvalgateError: a file is wrong, or there is nothing to read issues from.

        """
        from evalgate.evals.overview import look  # noqa: PLC0415 - yaml, numpy: what --help need not read

        return look(
            self.dataset,
            self.dsn,
            self.tenant,
            self.evaluators,
            judge_model=self.judge_model or None,
            policy=permission_policy(),
        )

    def views(self, days: int, affected_of: int | None = None) -> tuple[Overview, list[IssueView]]:
        """Read everything, and what is told of each issue, over so many days; of one, whom it affects.

        Raises:
            EvalgateError: as `look`.

        """
        from evalgate.evals.issue_views import read_views  # noqa: PLC0415 - as above

        return read_views(
            self.dataset,
            self.dsn,
            self.tenant,
            self.evaluators,
            judge_model=self.judge_model or None,
            policy=permission_policy(),
            days=days,
            affected_of=affected_of,
        )


def with_known_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options in place of its keyword parameter `known`."""
    return with_options(KnownOptions, "known", command)


def permission_policy(rule: PermissionRule | None = None) -> PermissionPolicy:
    """Return what permission asks for in this project: `policy.permission` of evals/gate.yaml, as the gate reads it.

    `rule` is what the command line says, and goes before.

    Raises:
        EvalgateError: the file is there and wrong.

    """
    from evalgate.gate.settings import project_policy  # noqa: PLC0415 - pydantic: 0.2 s that --help need not take

    policy = project_policy().permission.policy
    return policy if rule is None else replace(policy, rule=rule)
