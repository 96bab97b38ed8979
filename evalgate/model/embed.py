"""Vectors of texts by an OpenAI-compatible endpoint: each text is asked for once, whatever it costs.

    embed ─▶ the same text once ─▶ cache? ─▶ batches ─▶ turn ─▶ budget ─▶ transport ─▶ read ─▶ keep ─▶ in their order

    .evalgate/cache/embeddings/3f/3f9c…e1.json    as evalgate/model/cache.py has it; {"vector": base64 of 32-bit floats}

The name of a file is the hash of endpoint, model and text. Vectors of one model have one dimension: where an endpoint
answers with another than it did before, it has changed its model, and nothing of both is mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalgate.model.answer import read_embeddings
from evalgate.model.call import Call
from evalgate.model.chat import ModelError, ModelErrorKind
from evalgate.model.dialect import Dialect
from evalgate.model.vectors import NoVectors, Vectors, pack, unpack
from evalgate.work import in_threads
from schema.hashing import content_hash

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Sequence

    from evalgate.model.cache import ModelCache
    from evalgate.model.call import Endpoint
    from evalgate.model.transport import HttpAnswer

EMBEDDINGS: Final = Path(".evalgate/cache/embeddings")
CACHE_BYTES: Final = 1 << 30
"""Some 120 000 vectors of 1536 dimensions."""
BATCH: Final = 32
"""Texts of one request: Text Embeddings Inference takes no more unless it is told to (--max-client-batch-size)."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of all texts, in their order."""

    rows: tuple[array[float], ...]
    dimensions: int
    asked: int
    """Texts that were sent: the others were the same, or known."""


class EmbeddingModel:
    """One model behind one endpoint. Safe to call from many threads; never raises for a call."""

    def __init__(self, name: str, endpoint: Endpoint, cache: ModelCache | None) -> None:
        self._name = name
        self._endpoint = endpoint
        self._cache = cache

    @property
    def name(self) -> str:
        """The model's name as the endpoint knows it."""
        return self._name

    @property
    def host(self) -> str:
        """What messages call the endpoint."""
        return self._endpoint.settings.host

    def embed(
        self,
        texts: Sequence[str],
        *,
        concurrency: int = 4,
        step: Callable[[], None] = lambda: None,
    ) -> Embedded | ModelError:
        """Return a vector for each text, or the first error; what was answered by then is in the cache.

        `step` is told of each batch that was answered.
        """
        wanted = dict.fromkeys(texts)
        keys = {text: self._key(text) for text in wanted}
        found = {text: row for text in wanted if (row := self._known(keys[text])) is not None}
        missing = [text for text in wanted if text not in found]
        batches = [missing[i : i + BATCH] for i in range(0, len(missing), BATCH)]
        # One alone first: a wrong key or an endpoint that does not answer is told once.
        for some, workers in ((batches[:1], 1), (batches[1:], concurrency)):
            for batch, answer in in_threads(self._ask, some, workers):
                if isinstance(answer, ModelError):
                    return answer
                for text, row in zip(batch, answer.rows, strict=True):
                    found[text] = row
                    if self._cache is not None:
                        self._cache.put(keys[text], {"vector": pack(row)})
                step()
        dimensions = {len(row) for row in found.values()}
        if len(dimensions) > 1:
            return ModelError(
                ModelErrorKind.MALFORMED,
                f"{self.host}: {self._name} has given vectors of {_words(dimensions)} dimensions: "
                "another model has its name now. Remove what it said before (.evalgate/cache/embeddings) and run again",
                attempts=0,
            )
        return Embedded(tuple(found[text] for text in texts), max(dimensions, default=0), len(missing))

    def _ask(self, batch: Sequence[str]) -> Vectors | ModelError:
        asked = {"model": self._name, "input": list(batch), "encoding_format": "float"}

        def read(answer: HttpAnswer) -> Any:
            return read_embeddings(answer, len(batch))

        call: Call[Vectors] = Call(self._endpoint, self._name, asked, Dialect(), read=read, output_tokens=0)
        return call.run()

    def _key(self, text: str) -> str:
        return content_hash({"base_url": self._endpoint.settings.base_url, "embed": text, "model": self._name})

    def _known(self, key: str) -> array[float] | None:
        entry = self._cache.get(key) if self._cache is not None else None
        try:
            return None if entry is None else unpack(entry["vector"])
        except (KeyError, TypeError, NoVectors):
            return None


def _words(dimensions: set[int]) -> str:
    return " and ".join(map(str, sorted(dimensions)))
