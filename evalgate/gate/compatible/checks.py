"""The checks of a report: overall score, dimensions, confidence, metrics, and drops against a baseline report.

Floats compare as they are: a drop from 0.9 to 0.6 is more than 0.3. NaN reaches no threshold; as the score of one item
it is no drop. Order of the checks: for each model overall score, dimensions, confidence, drops; then the items.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.gate.compatible.report import as_float, mapping, number
from schema.fields import json_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evalgate.gate.compatible.report import Report

DEFAULT_REGRESSION_THRESHOLD = 0.3
CONFIDENCE_UNSAID = 1.0
BENCH_DECIMALS = 2
METRIC_DECIMALS = 4

Check = dict[str, Any]
"""One check as it stands in the payload."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is asked of a report."""

    overall: float | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    confidence: float | None = None
    regression: float = DEFAULT_REGRESSION_THRESHOLD

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked but of a baseline."""
        return self.overall is None and self.confidence is None and not self.dimensions and not self.metrics


def parse_thresholds(values: Sequence[str]) -> dict[str, float]:
    """Return name to value of `name:value` texts; of a name that comes again the last value holds.

    Raises:
        BadInput: one is not of that form.

    """
    found = {}
    for text in values:
        name, colon, value = text.partition(":")
        if not colon:
            raise BadInput(
                f"Invalid dimension threshold format: {text!r}. Expected 'name:value' (e.g. visual_quality:4.0)"
            )
        try:
            found[name.strip()] = float(value.strip())
        except ValueError:
            raise BadInput(f"Invalid threshold value: {value.strip()!r} in {text!r}") from None
    return found


def check_report(report: Report, baseline: Report | None, asked: Thresholds) -> list[Check]:
    """Return every check of the report, in order.

    Raises:
        BadInput: baseline and report are of two kinds, a flag is not for this kind, or a value has the wrong type.

    """
    if baseline is not None and baseline.eval_type != report.eval_type:
        raise BadInput(f"Baseline report type mismatch: '{report.eval_type}' vs '{baseline.eval_type}'.")
    _refuse_flags(report, asked)
    if report.is_bench:
        checks = list(_bench_checks(report, baseline, asked))
        return checks if baseline is None else [*checks, *_item_checks(report, baseline, asked.regression)]
    return list(_metric_checks(report, baseline, asked))


def _refuse_flags(report: Report, asked: Thresholds) -> None:
    if report.is_bench:
        if asked.metrics:
            raise BadInput("--metric-threshold is only supported for text, rag, and agent reports.")
        return
    given = {
        "--threshold": asked.overall is not None,
        "--dimension-threshold": bool(asked.dimensions),
        "--min-confidence": asked.confidence is not None,
    }
    if flags := [name for name, is_given in given.items() if is_given]:
        raise BadInput(
            f"{', '.join(flags)} only works with bench reports. Use --metric-threshold for {report.eval_type} reports."
        )


def _bench_checks(report: Report, baseline: Report | None, asked: Thresholds) -> Iterator[Check]:
    for model, value in report.summary().items():
        now = mapping(value, f"the model {model!r}")
        yield from _model_checks(model, now, asked)
        if baseline is not None and (then := baseline.summary().get(model)):
            yield from _drops(model, now, mapping(then, f"the model {model!r} of the baseline"), asked.regression)


def _model_checks(model: str, now: Mapping[str, Any], asked: Thresholds) -> Iterator[Check]:
    if asked.overall is not None:
        score = number(now.get("overall_score", 0.0), f"overall_score of {model!r}")
        yield _reach({"type": "threshold", "model": model, "check": "overall_score"}, score, asked.overall)
    if asked.dimensions:
        averages = _averages(now, model)
        for name, threshold in asked.dimensions.items():
            score = number(averages.get(name, 0.0), f"{name!r} of {model!r}")
            yield _reach({"type": "dimension_threshold", "model": model, "dimension": name}, score, threshold)
    if asked.confidence is not None:
        score = number(now.get("avg_confidence", CONFIDENCE_UNSAID), f"avg_confidence of {model!r}")
        yield _reach({"type": "confidence", "model": model}, score, asked.confidence)


def _drops(model: str, now: Mapping[str, Any], then: Mapping[str, Any], threshold: float) -> Iterator[Check]:
    for name, current in _averages(now, model).items():
        if (baseline := _averages(then, f"{model} of the baseline").get(name)) is not None:
            new = number(current, f"{name!r} of {model!r}")
            old = number(baseline, f"{name!r} of {model!r} in the baseline")
            yield {
                "type": "regression",
                "model": model,
                "dimension": name,
                "baseline": old,
                "current": new,
                "drop": _rounded(old - new, BENCH_DECIMALS),
                "threshold": threshold,
                "passed": old - new <= threshold,
            }


def _metric_checks(report: Report, baseline: Report | None, asked: Thresholds) -> Iterator[Check]:
    now = mapping(report.summary().get("metric_averages", {}), "metric_averages")
    for name, threshold in asked.metrics.items():
        score = as_float(now.get(name, 0.0), f"the metric {name!r}")
        yield _reach({"type": "metric_threshold", "metric": name}, score, threshold)
    if baseline is None:
        return
    before = baseline.summary().get("metric_averages", {})  # looked at where there is something to compare
    for name, current in now.items():
        if (old := mapping(before, "metric_averages of the baseline").get(name)) is not None:
            drop = as_float(old, f"the metric {name!r} of the baseline") - as_float(current, f"the metric {name!r}")
            yield {
                "type": "regression",
                "metric": name,
                "baseline": old,
                "current": current,
                "drop": _rounded(drop, METRIC_DECIMALS),
                "threshold": asked.regression,
                "passed": drop <= asked.regression,
            }


def _item_checks(report: Report, baseline: Report, threshold: float) -> Iterator[Check]:
    """Yield the items that dropped too far, of models that the summary names; those that held are no checks."""
    models = report.summary()
    before = _items(baseline)
    for item_id, now in _items(report).items():
        if item_id not in before:
            continue
        then = mapping(before[item_id], f"the results of item {item_id!r} in the baseline")
        for model, result in mapping(now, f"the results of item {item_id!r}").items():
            if model not in models:
                continue
            old = _scores(then.get(model))
            for name, score in _scores(result).items():
                if name not in old:
                    continue
                drop = _minus(old[name], score, f"item {item_id!r}, {name!r}")
                if drop is not None and drop > threshold:
                    yield {
                        "type": "item_regression",
                        "model": model,
                        "item_id": item_id,
                        "dimension": name,
                        "baseline": old[name],
                        "current": score,
                        "drop": _rounded(drop, BENCH_DECIMALS),
                        "threshold": threshold,
                        "passed": False,
                    }


def _items(report: Report) -> dict[Any, Any]:
    """Return item id to what stands as its results; an id that comes again is the last one, items without are left out.

    Only what is compared is looked at more closely.
    """
    items = report.content.get("items", [])
    if not isinstance(items, (list, dict, str)):
        raise BadInput(f"Invalid report format: the items of {report.path} must be a list")
    found = {}
    for item in items:
        fields = mapping(item, f"an item of {report.path}")
        item_id = fields.get("item_id")
        if item_id:
            found[_key(item_id, f"an item_id of {report.path}")] = fields.get("results", {})
    return found


def _scores(result: Any) -> dict[Any, Any]:
    """Return dimension to score of an item that succeeded: {name: {score}}, {name: score} or [{dimension, score}]."""
    if not result or mapping(result, "the result of an item").get("status") != "success":
        return {}
    scores = result.get("scores")
    if isinstance(scores, list):
        entries = [mapping(s, "a score of an item") for s in scores]
        named = [e for e in entries if e.get("dimension")]
        return {_key(e["dimension"], "the dimension of a score"): e.get("score", 0.0) for e in named}
    if not isinstance(scores, dict):
        return {}
    found: dict[Any, Any] = {}
    for name, score in scores.items():
        if isinstance(score, dict):
            found[name] = score.get("score", 0.0)
        elif isinstance(score, (int, float)):
            found[name] = as_float(score, f"the score of {name!r}")
    return found


def _key(value: Any, what: str) -> Any:
    if isinstance(value, (list, dict)):
        raise BadInput(f"Invalid report format: {what} must be a text, not {json_name(value)}")
    return value


def _minus(old: Any, new: Any, what: str) -> float | None:
    """Return a drop of an item; whole numbers beyond the floats are no drop, or no number."""
    if old is None:
        return None
    for value in (old, new):
        if not isinstance(value, (int, float)):
            raise BadInput(f"Invalid report format: {what} must be a number, not {json_name(value)}")
    try:
        drop: float = old - new
    except OverflowError:
        raise BadInput(f"Invalid report format: {what} is beyond all numbers") from None
    return as_float(drop, what) if drop > 0 else drop


def _averages(model: Mapping[str, Any], name: str) -> dict[str, Any]:
    return mapping(model.get("dimension_averages", {}), f"dimension_averages of {name!r}")


def _reach(check: Check, value: float, threshold: float) -> Check:
    return {**check, "value": value, "threshold": threshold, "passed": value >= threshold}


def _rounded(drop: float, decimals: int) -> float:
    return round(drop, decimals)
