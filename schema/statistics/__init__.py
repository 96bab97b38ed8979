"""The statistics that runs, alignment and the gate print: pure functions, no randomness that is not seeded.

numpy is imported where it is used: most commands need none of it, and it costs 0.1 s.
"""

from __future__ import annotations

from schema.statistics.agreement import (
    MIN_ITEMS,
    MIN_RARE,
    RELIABLE,
    TENTATIVE,
    Coefficient,
    cohen_kappa,
    krippendorff_alpha,
)
from schema.statistics.change import (
    MIN_CLUSTERS,
    MIN_DISCORDANT,
    Change,
    bootstrap_interval,
    change_interval,
    content_seed,
    mcnemar_p,
    sign_flip_p,
)
from schema.statistics.corrected import MIN_YOUDEN, Corrected, corrected_rate
from schema.statistics.families import benjamini_hochberg, holm
from schema.statistics.power import (
    cases_for_drop,
    cases_for_score_drop,
    mcnemar_power,
    minimum_detectable_drop,
    minimum_detectable_score_drop,
)
from schema.statistics.proportion import (
    MAX_WEIGHT,
    MIN_EFFECTIVE_N,
    Z_95,
    WeightedShare,
    effective_n,
    weighted_share,
    wilson_interval,
)

__all__ = [
    "MAX_WEIGHT",
    "MIN_CLUSTERS",
    "MIN_DISCORDANT",
    "MIN_EFFECTIVE_N",
    "MIN_ITEMS",
    "MIN_RARE",
    "MIN_YOUDEN",
    "RELIABLE",
    "TENTATIVE",
    "Z_95",
    "Change",
    "Coefficient",
    "Corrected",
    "WeightedShare",
    "benjamini_hochberg",
    "bootstrap_interval",
    "cases_for_drop",
    "cases_for_score_drop",
    "change_interval",
    "cohen_kappa",
    "content_seed",
    "corrected_rate",
    "effective_n",
    "holm",
    "krippendorff_alpha",
    "mcnemar_p",
    "mcnemar_power",
    "minimum_detectable_drop",
    "minimum_detectable_score_drop",
    "sign_flip_p",
    "weighted_share",
    "wilson_interval",
]
