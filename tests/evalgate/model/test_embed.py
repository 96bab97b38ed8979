"""Vectors of texts: each is asked for once, they come in order, and what is no vector is an error."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.model.budget import Budget
from evalgate.model.cache import ModelCache
from evalgate.model.chat import ModelError, ModelErrorKind
from evalgate.model.client import open_embeddings
from evalgate.model.embed import BATCH, Embedded, EmbeddingModel
from evalgate.model.price import Price
from evalgate.model.retry import RetryPolicy
from evalgate.model.settings import ModelSettings
from evalgate.model.transport import HttpAnswer
from evalgate.model.vectors import NoVectors, pack, read_vectors, unpack
from tests.tools.fake_openai import FakeOpenAI

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


def by_length(text: str) -> list[float]:
    return [float(len(text)), 1.0, -0.5]


class Endpoint:
    """Answers as a function of the texts says, without a network; keeps what was asked."""

    def __init__(self, embeds: Callable[[str], Any] = by_length) -> None:
        self.asked: list[Sequence[str]] = []
        self.embeds = embeds
        self.status = 200

    def __call__(self, body: Mapping[str, Any], timeout_s: float) -> HttpAnswer:
        del timeout_s
        texts = list(body["input"])
        self.asked.append(texts)
        data = [{"index": i, "embedding": self.embeds(t)} for i, t in enumerate(texts)]
        answer = {"data": data[::-1], "model": body["model"], "usage": {"prompt_tokens": 10 * len(texts)}}
        return HttpAnswer(self.status, {}, json.dumps(answer).encode())


def opened(endpoint: Endpoint, cache: Path | None = None, budget: Budget | None = None) -> EmbeddingModel:
    settings = ModelSettings("http://127.0.0.1:9/v1", prices={"e": Price(1.0, 0.0)}, retry=RetryPolicy(attempts=1))
    kept = ModelCache(cache) if cache else None
    return open_embeddings("e", settings, budget=budget, cache=kept, transport=endpoint)


def test_each_text_is_asked_for_once_and_kept(tmp_path: Path) -> None:
    endpoint, budget = Endpoint(), Budget()
    texts = [f"text {i}" * (i % 7 + 1) for i in range(2 * BATCH + 5)]
    found = opened(endpoint, tmp_path, budget).embed([*texts, texts[3]])
    assert isinstance(found, Embedded)
    assert [row[0] for row in found.rows] == [len(t) for t in (*texts, texts[3])]
    assert (found.dimensions, found.asked) == (3, len(texts))
    assert sorted(len(t) for t in endpoint.asked) == [5, BATCH, BATCH]
    assert budget.usd == pytest.approx(10 * len(texts) / 1e6)
    again = opened(endpoint, tmp_path).embed([*texts[:4], "new"])
    assert isinstance(again, Embedded)
    assert again.asked == 1
    assert again.rows[:4] == found.rows[:4]
    assert endpoint.asked[-1] == ["new"]


def test_a_model_that_changed_is_not_mixed_with_what_it_said_before(tmp_path: Path) -> None:
    assert isinstance(opened(Endpoint(), tmp_path).embed(["a", "b"]), Embedded)
    found = opened(Endpoint(lambda _: [1.0, 2.0]), tmp_path).embed(["a", "c"])
    assert isinstance(found, ModelError)
    assert "2 and 3 dimensions" in found.message


def test_an_error_is_told_once_and_a_budget_is_kept(tmp_path: Path) -> None:
    endpoint = Endpoint()
    endpoint.status = 401
    texts = [f"text {i}" for i in range(5 * BATCH)]
    found = opened(endpoint, tmp_path).embed(texts)
    assert isinstance(found, ModelError)
    assert (found.kind, len(endpoint.asked)) == (ModelErrorKind.REQUEST, 1)
    endpoint.status = 200
    found = opened(endpoint, tmp_path, Budget(2)).embed(texts, concurrency=1)
    assert isinstance(found, ModelError)
    assert found.kind is ModelErrorKind.BUDGET
    rest = opened(endpoint, tmp_path).embed(texts)
    assert isinstance(rest, Embedded)
    assert rest.asked == 3 * BATCH, "what was answered is kept"
    assert opened(endpoint).embed([]) == Embedded((), 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [{"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": []}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [True]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": ["1"]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1e300]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "!!"}],
        [{"index": 0, "embedding": [1.0]}, "x"],
    ],
)
def test_what_holds_no_vector_for_each_text_is_refused(data: Any) -> None:
    with pytest.raises(NoVectors):
        read_vectors({"data": data}, 2)


def test_vectors_are_read_in_both_shapes() -> None:
    row = array("f", [0.25, -1.0])
    assert unpack(pack(row)) == row
    found = read_vectors({"data": [{"embedding": [0.25, -1]}, {"embedding": pack(row)}], "model": "e"}, 2)
    assert found.rows == (row, row)
    assert (found.dimensions, found.model, found.input_tokens) == (2, "e", None)


def test_the_sdk_sends_it() -> None:
    with FakeOpenAI(embeds=by_length) as fake:
        found = open_embeddings("e", ModelSettings(fake.base_url)).embed(["ab", "abcd"])
        assert isinstance(found, Embedded), found
        assert [row[0] for row in found.rows] == [2, 4]
        (asked,) = fake.requests
        assert asked.body == {"model": "e", "input": ["ab", "abcd"], "encoding_format": "float"}
