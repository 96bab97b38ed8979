"""Where a project keeps what several rooms read, below its root."""

from __future__ import annotations

from pathlib import Path
from typing import Final

EVALUATORS: Final = Path("evals/evaluators")
BASELINE: Final = Path("evals/baseline.json")
"""The accepted state of each dataset."""
LAST_REPORT: Final = Path(".evalgate/last-report.json")
"""What the last gate said, whatever it was."""
