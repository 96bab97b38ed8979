"""Alignment: how far an evaluator agrees with people, and what it may therefore do to a release."""

from schema.alignment.confusion import Confusion, mcc_at, mcc_quantiles
from schema.alignment.drop import Drop, drop_of
from schema.alignment.measurement import Measurement, Split, measurement_to_json, parse_measurement
from schema.alignment.permission import (
    DEFAULT_POLICY,
    Grant,
    Permission,
    PermissionPolicy,
    PermissionRule,
    Reason,
    further_labels,
    grant,
)

__all__ = [
    "DEFAULT_POLICY",
    "Confusion",
    "Drop",
    "Grant",
    "Measurement",
    "Permission",
    "PermissionPolicy",
    "PermissionRule",
    "Reason",
    "Split",
    "drop_of",
    "further_labels",
    "grant",
    "mcc_at",
    "mcc_quantiles",
    "measurement_to_json",
    "parse_measurement",
]
