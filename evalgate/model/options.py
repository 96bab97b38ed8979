"""The options of every command that asks a model, in one place.

    @with_model_options
    def run(*, dataset: …, models: ModelOptions) -> None:
        opened = open_from_options(models)
        evaluators = load_evaluators(folder, chat=opened.chat)

The decorator gives the command the options below in place of its parameter `models`. Opening asks for nothing: what
is missing (a model, a key, the extra) is told when a model is first wanted, so that a run without a judge needs none.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.errors import BadInput
from evalgate.model.budget import Budget
from evalgate.model.cache import CACHE, ModelCache
from evalgate.model.price import parse_prices
from evalgate.model.rate import RateLimit
from evalgate.model.retry import RetryPolicy
from evalgate.model.settings import OPENAI_URL, ModelSettings, Secret, check_url, read_key
from evalgate.options import with_options
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evalgate.model.client import OpenAIModel
    from evalgate.model.embed import EmbeddingModel

KEY = "OPENAI_API_KEY"
PATIENCE = 2
"""Attempts where somebody waits for the answer."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What was said on the command line and in the environment, the key apart."""

    judge_model: Annotated[
        str | None,
        typer.Option("--judge-model", envvar="EVALGATE_JUDGE_MODEL", metavar="NAME", help="The model that judges."),
    ] = None
    judge_url: Annotated[
        str,
        typer.Option(
            "--judge-url", envvar="OPENAI_BASE_URL", metavar="URL", help="An endpoint that speaks OpenAI's API."
        ),
    ] = OPENAI_URL
    judge_key_file: Annotated[
        Path | None,
        typer.Option(
            "--judge-key-file",
            envvar="EVALGATE_JUDGE_KEY_FILE",
            metavar="FILE",
            help="A file with the key.  [default: OPENAI_API_KEY]",
            show_default=False,
        ),
    ] = None
    judge_price: Annotated[
        str | None,
        typer.Option(
            "--judge-price",
            metavar="IN/OUT",
            help="US dollars per million tokens of --judge-model, or NAME=IN/OUT,…  [default: the provider's list]",
            show_default=False,
        ),
    ] = None
    max_calls: Annotated[
        int | None, typer.Option("--max-calls", min=0, metavar="N", help="Make no more calls of models than this.")
    ] = None
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", min=0, metavar="USD", help="Spend no more on models than this.")
    ] = None
    allow_unpriced: Annotated[
        bool, typer.Option("--allow-unpriced", help="With --max-usd: call models whose price nobody knows.")
    ] = False
    rpm: Annotated[float | None, typer.Option("--rpm", min=0.01, metavar="N", help="Calls of models a minute.")] = None
    tpm: Annotated[float | None, typer.Option("--tpm", min=1, metavar="N", help="Tokens of models a minute.")] = None
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Ask models again what they have answered before.")] = (
        False
    )
    insecure_model_url: Annotated[
        bool, typer.Option("--insecure-model-url", help="Allow http off this machine: cases and key go in the clear.")
    ] = False


class Models:
    """The models of one command: opened when they are first wanted, within one budget."""

    def __init__(self, settings: ModelSettings, budget: Budget, rate: RateLimit, cache: ModelCache | None) -> None:
        self.settings = settings
        self.budget = budget
        self._rate = rate
        self._cache = cache
        self._open: Callable[[str | None], OpenAIModel] | None = None
        self._lock = threading.Lock()

    def chat(self, name: str | None = None) -> OpenAIModel:
        """Return a model by its name, None: the one of --judge-model.

        Raises:
            BadInput: no model is named, no key is given, or the extra is not installed.

        """
        with self._lock:
            if self._open is None:
                self._require_key()
                from evalgate.model.client import open_models  # noqa: PLC0415 - only where models are asked

                self._open = open_models(self.settings, budget=self.budget, cache=self._cache, rate=self._rate)
        return self._open(name)

    def embeddings(self, name: str) -> EmbeddingModel:
        """Return a model that gives vectors of texts; of the same endpoint, within the same budget.

        Raises:
            BadInput: no key is given, or the extra is not installed.

        """
        self._require_key()
        from evalgate.model.client import open_embeddings  # noqa: PLC0415 - as above
        from evalgate.model.embed import CACHE_BYTES, EMBEDDINGS  # noqa: PLC0415

        kept = None if self._cache is None else ModelCache(self._cache.folder.with_name(EMBEDDINGS.name), CACHE_BYTES)
        return open_embeddings(name, self.settings, budget=self.budget, cache=kept, rate=self._rate)

    def _require_key(self) -> None:
        if self.settings.key is None and not self.settings.is_loopback:
            raise BadInput(
                f"{self.settings.host} wants a key: set {KEY}, or name a file with --judge-key-file. "
                "A server on this machine needs none: --judge-url http://127.0.0.1:11434/v1"
            )

    def impatient(self) -> Models:
        """Return the same models on the same budget with few attempts: to see at once whether anybody answers."""
        settings = replace(self.settings, retry=RetryPolicy(attempts=PATIENCE))
        return Models(settings, self.budget, self._rate, self._cache)

    @property
    def were_asked(self) -> bool:
        """Whether anything was sent."""
        return self.budget.calls > 0

    def told(self) -> str:
        """Return what was spent, in words: "12 calls, $0.0031"."""
        return spent(self.budget)


def spent(budget: Budget) -> str:
    """Return what was spent, in words; what is not known is said."""
    words = [count_of(budget.calls, "call")]
    if budget.calls > budget.unpriced:
        words.append(f"${budget.usd:.4f}")
    if budget.usd_in_doubt:
        words.append(f"up to ${budget.usd_in_doubt:.4f} for answers that never came")
    if budget.unpriced:
        words.append(f"{budget.unpriced} of unknown price ({', '.join(budget.unpriced_models)})")
    return ", ".join(words)


def open_from_options(
    options: ModelOptions,
    environ: Mapping[str, str] = os.environ,
    *,
    cache: Path = CACHE,
    retry: RetryPolicy | None = None,
) -> Models:
    """Return the models that the options name.

    Raises:
        BadInput: an option is wrong.

    """
    url = check_url(options.judge_url, allow_insecure=options.insecure_model_url)
    if options.judge_key_file is not None:
        key: Secret | None = read_key(options.judge_key_file)
    else:
        said = environ.get(KEY, "").strip()
        key = Secret(said) if said else None
    try:
        prices = {} if options.judge_price is None else parse_prices(options.judge_price, options.judge_model)
    except ValueError as e:
        raise BadInput(f"--judge-price: {e}") from None
    model = options.judge_model or None
    return Models(
        ModelSettings(base_url=url, model=model, key=key, prices=prices, retry=retry or RetryPolicy()),
        Budget(options.max_calls, options.max_usd, allow_unpriced=options.allow_unpriced),
        RateLimit(options.rpm, options.tpm),
        None if options.no_cache else ModelCache(cache),
    )


def with_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of models in place of its keyword parameter `models`."""
    return with_options(ModelOptions, "models", command)
