"""Behaviour to numbers: TF-IDF of texts (or what they mean), of tool sequences and of structure, as one sparse matrix.

Each block is scaled to the same length per trace, then weighed: a long answer says no more than a short error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.cluster.meaning import spread
from evalgate.cluster.words import grams, with_pairs, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from evalgate.cluster.behaviour import Behaviour
    from evalgate.cluster.meaning import Meaning

    Floats = NDArray[np.float64]

MAX_TERMS: Final = 20_000
"""Of each block: the commonest."""


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of feature."""

    name: str
    weight: float
    steps: Callable[[Behaviour], Iterable[str]] | None = None
    text: Callable[[Behaviour], str] | None = None
    """One of the two: what was done, or what was said."""

    def tokens(self, b: Behaviour) -> Iterable[str]:
        """Return what is counted."""
        if self.text is not None:
            return with_pairs(words(self.text(b)))
        return self.steps(b) if self.steps is not None else ()


def _structure(b: Behaviour) -> Iterator[str]:
    yield f"root={b.root_name}"
    yield from (f"reason={r}" for r in b.failure_reasons)
    yield from (f"finish={r}" for r in b.finish_reasons)
    yield from (f"failed={t}" for t in b.tools_failed)
    counts = {"spans": b.spans, "errors": b.errors_counted, "llm": b.llm_calls, "tools": len(b.tools), **b.kinds}
    for name, count in counts.items():
        yield f"{name}~{count.bit_length()}"  # 0, 1, 2-3, 4-7, …
    if not b.answered:
        yield "no answer"


BLOCKS: Final = (
    Block("asked", 0.3, text=lambda b: b.asked),
    Block("answered", 1.0, text=lambda b: b.answered),
    Block("errors", 1.0, text=lambda b: " ".join(b.errors)),
    Block("comments", 1.0, text=lambda b: b.comments),
    Block("tools", 0.8, lambda b: grams(b.tools)),
    Block("structure", 1.0, _structure),
)
"""How failures are told apart: by what went wrong, hardly by what was asked. Chosen on other seeds than
bench/clusters.py reports."""
OF_TRAFFIC: Final = tuple(
    replace(
        block, weight={"asked": 1.0, "answered": 0.5, "errors": 0.5, "structure": 0.5}.get(block.name, block.weight)
    )
    for block in BLOCKS
)
"""How traffic is told apart: by what was asked, and by the way that was gone."""


def reduced(
    behaviours: Sequence[Behaviour],
    *,
    dimensions: int,
    seed: int,
    blocks: Sequence[Block] = BLOCKS,
    meaning: Meaning | None = None,
) -> Floats:
    """Return a point for each trace on the unit sphere, [n, at most `dimensions`].

    The same traces give the same points on one machine, in whatever order and on however many cores. With `meaning`,
    texts are compared by it.
    """
    from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 - 1.7 s; only those who group pay
    from sklearn.preprocessing import normalize  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    with threadpool_limits(limits=1):
        matrix = weighed(behaviours, blocks, meaning, seed=seed)
    rank = min(dimensions, matrix.shape[0] - 1, matrix.shape[1] - 1)
    if rank < 1:
        return np.zeros((matrix.shape[0], 1))
    with threadpool_limits(limits=1), np.errstate(divide="ignore", invalid="ignore"):  # where all traces are the same
        points = TruncatedSVD(rank, n_iter=7, random_state=seed).fit_transform(matrix)
        return np.asarray(normalize(points), dtype=np.float64)


def weighed(
    behaviours: Sequence[Behaviour], blocks: Sequence[Block] = BLOCKS, meaning: Meaning | None = None, *, seed: int = 0
) -> Any:
    """Return the sparse matrix [n, terms] of all blocks that have terms."""
    from scipy.sparse import csr_matrix, hstack  # noqa: PLC0415 - as above
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    found = []
    least = 2 if len(behaviours) > 2 else 1
    for block in blocks:
        if meaning is not None and block.text is not None:
            found.append(csr_matrix(spread([block.text(b) for b in behaviours], meaning, seed=seed) * block.weight))
            continue
        documents = [list(block.tokens(b)) for b in behaviours]
        vectors = TfidfVectorizer(
            analyzer=_as_it_is, min_df=least, max_features=MAX_TERMS, sublinear_tf=True, dtype=np.float64
        )
        try:
            found.append(vectors.fit_transform(documents) * block.weight)
        except ValueError:  # no term is in two traces
            continue
    return hstack(found, format="csr") if found else csr_matrix((len(behaviours), 1))


def term_counts(behaviours: Sequence[Behaviour], blocks: Sequence[Block] = BLOCKS) -> tuple[Any, list[str]]:
    """Return which words of its texts each trace has, sparse [n, terms] of 0 and 1, and the terms."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415 - as above
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415

    texts = [block for block in blocks if block.text is not None]
    documents = [[t for block in texts for t in block.tokens(b)] for b in behaviours]
    counter = CountVectorizer(
        analyzer=_as_it_is, min_df=min(3, len(behaviours)), max_features=2 * MAX_TERMS, binary=True
    )
    try:
        counts = counter.fit_transform(documents)
    except ValueError:
        return csr_matrix((len(behaviours), 0)), []
    return counts, [str(t) for t in counter.get_feature_names_out()]


def _as_it_is(tokens: list[str]) -> list[str]:
    return tokens
