"""An answer is paid once; what is damaged is asked again; no key is on the disk."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from evalgate.model import Budget, Completion
from evalgate.model.cache import ModelCache
from evalgate.model.seal import Seal, seal_of_this_machine
from evalgate.model.settings import ModelSettings, Secret
from tests.evalgate.model.moving import ASKED, Script, model_of, ok, refuse

if TYPE_CHECKING:
    from pathlib import Path


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("??/*.json"))


def test_the_same_question_is_asked_once(tmp_path: Path) -> None:
    budget, script = Budget(), Script([ok("first"), ok("second")])
    model_of(script, cache=ModelCache(tmp_path), budget=budget).complete(ASKED)
    answer = model_of(script, cache=ModelCache(tmp_path), budget=budget).complete(ASKED)  # as another process would
    assert isinstance(answer, Completion)
    assert answer.text == "first"
    assert (answer.cached, answer.cost_usd, answer.input_tokens, budget.calls) == (True, 0.0, 100, 1)


def test_another_question_is_another_answer(tmp_path: Path) -> None:
    script = Script([ok()])
    model = model_of(script, cache=ModelCache(tmp_path))
    other = model_of(script, cache=ModelCache(tmp_path), settings=ModelSettings("http://127.0.0.1:2/v1", model="m"))
    answers = (
        model.complete(ASKED),
        model.complete(ASKED, temperature=0.5),
        model.complete(ASKED, seed=1),
        model.complete(ASKED, json_schema={"type": "object"}),
        model.complete([{"role": "user", "content": "Hello!"}]),
        other.complete(ASKED),
    )
    assert all(isinstance(a, Completion) and not a.cached for a in answers)
    assert len(script.bodies) == 6


def test_a_fresh_answer_is_not_an_old_one_and_replaces_it(tmp_path: Path) -> None:
    model = model_of(Script([ok("old"), ok("new")]), cache=ModelCache(tmp_path))
    texts = [model.complete(ASKED, fresh=fresh) for fresh in (False, True, False)]
    assert [t.text for t in texts if isinstance(t, Completion)] == ["old", "new", "new"]


def test_errors_are_not_kept(tmp_path: Path) -> None:
    model = model_of(Script([refuse(400), ok()]), cache=ModelCache(tmp_path))
    model.complete(ASKED)
    assert files(tmp_path) == []
    assert isinstance(model.complete(ASKED), Completion)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda _: "[]",
        lambda text: text.replace('"first"', '"forged"'),
        lambda text: text.replace("model-cache/1", "model-cache/9"),
        lambda text: text.replace('"refusal"', '"refused"'),
    ],
)
def test_a_damaged_answer_is_asked_again(tmp_path: Path, damage: object) -> None:
    model = model_of(Script([ok("first"), ok("second")]), cache=ModelCache(tmp_path))
    model.complete(ASKED)
    (file,) = files(tmp_path)
    text = file.read_text()
    assert callable(damage)
    file.write_text(damage(text))
    assert file.read_text() != text
    answer = model.complete(ASKED)
    assert isinstance(answer, Completion)
    assert (answer.text, answer.cached) == ("second", False)


def test_an_answer_of_another_shape_is_a_miss(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    model = model_of(Script([ok("first"), ok("second")]), cache=cache)
    model.complete(ASKED)
    cache.put(files(tmp_path)[0].stem, {"text": "right checksum, wrong shape"})
    answer = model.complete(ASKED)
    assert isinstance(answer, Completion)
    assert answer.text == "second"


def test_only_its_owner_reads_it_and_no_key_is_in_it(tmp_path: Path) -> None:
    settings = ModelSettings("http://127.0.0.1:1/v1", model="m", key=Secret("sk-very-secret"))
    folder = tmp_path / "cache"
    model_of(Script([ok()]), cache=ModelCache(folder), settings=settings).complete(ASKED)
    (file,) = files(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(f.stat().st_mode) for f in (folder, file.parent)} == {0o700}
    assert (folder / ".gitignore").read_text() == "*\n"
    assert "secret" not in file.read_text()
    assert json.loads(file.read_text())["answer"]["text"] == "hi"


def test_answers_that_somebody_else_wrote_do_not_count(tmp_path: Path) -> None:
    """As one that came with a change that is to be judged."""
    theirs = ModelCache(tmp_path, seal=lambda: Seal(b"theirs"))
    script = Script([ok("forged"), ok("mine")])
    model_of(script, cache=theirs).complete(ASKED)
    model = model_of(script, cache=ModelCache(tmp_path, seal=lambda: Seal(b"mine")))
    for cached in (False, True):
        answer = model.complete(ASKED)
        assert isinstance(answer, Completion)
        assert (answer.text, answer.cached) == ("mine", cached)


def test_an_answer_does_not_count_under_another_name(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    cache.put("a" * 64, {"score": 1})
    (tmp_path / "bb").mkdir()
    files(tmp_path)[0].rename(tmp_path / "bb" / f"{'b' * 64}.json")
    assert cache.get("b" * 64) is None


def test_the_key_is_of_the_environment_or_of_the_user(tmp_path: Path) -> None:
    def signed(**environ: str) -> str:
        return seal_of_this_machine(environ).sign("n", {"a": 1})

    assert signed(EVALGATE_CACHE_KEY="k") == signed(EVALGATE_CACHE_KEY="k", XDG_STATE_HOME=str(tmp_path))
    assert signed(EVALGATE_CACHE_KEY="k") != signed(EVALGATE_CACHE_KEY="other")
    assert list(tmp_path.iterdir()) == []
    assert signed(XDG_STATE_HOME=str(tmp_path)) == signed(XDG_STATE_HOME=str(tmp_path))
    (file,) = (tmp_path / "otel-evalgate").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert signed(XDG_STATE_HOME=str(tmp_path)) != signed(XDG_STATE_HOME=str(tmp_path / "another"))


def test_makers_of_the_key_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        seals = list(pool.map(seal_of_this_machine, [{"XDG_STATE_HOME": str(tmp_path)}] * 16))
    assert len({s.sign("n", {}) for s in seals}) == 1


def test_where_no_key_can_be_kept_nothing_old_counts(tmp_path: Path) -> None:
    (tmp_path / "otel-evalgate").write_text("a file where the folder should be")
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert seal_of_this_machine(environ).sign("n", {}) != seal_of_this_machine(environ).sign("n", {})
    other = tmp_path / "other"
    (other / "otel-evalgate").mkdir(parents=True)
    (other / "otel-evalgate/cache.key").write_text("")
    empty = {"XDG_STATE_HOME": str(other)}
    assert seal_of_this_machine(empty).sign("n", {}) != seal_of_this_machine(empty).sign("n", {})


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, max_bytes=4000)
    for n in range(60):
        cache.put(f"{n:064x}", {"n": n})
        os.utime(tmp_path / "00" / f"{n:064x}.json", ns=(n, n))
    left = files(tmp_path)
    assert sum(f.stat().st_size for f in left) <= 4000
    assert len(left) >= 10
    assert left[-1].stem.endswith(f"{59:x}"), "the newest stay"
    again = ModelCache(tmp_path, max_bytes=1000)  # what was there before counts
    again.put("f" * 64, {"n": 0})
    assert sum(f.stat().st_size for f in files(tmp_path)) <= 1000


def test_a_disk_that_refuses_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    model = model_of(Script([ok()]), cache=ModelCache(tmp_path / "taken"))
    assert isinstance(model.complete(ASKED), Completion)
