"""While several people label a trace, no page tells one of them what another said; and a label is saved once.

The pages that are walked are those that there are: one that is added stands in `ADDRESSES`, or this fails.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from evalgate.database import TenantDatabase
from evalgate.dataset.store import DATASETS
from evalgate.files import to_json_line
from evalgate.queue.definition import Queue
from evalgate.queue.items import ItemState, find_item
from evalgate.queue.store import change_queue, close_queue, create_queue, find_queue
from evalgate.review import labels as saving
from evalgate.review.cases import list_cases
from evalgate.web.pages import all_pages
from exporters.clickhouse.connect import connect
from schema.case import case_id_of, case_to_json
from schema.errors import Retryable
from tests.evalgate.traffic import Traffic
from tests.web.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx

    from tests.fixtures_clickhouse import Spare
    from tests.web.serving import Served

MANY = [f"{n:02x}" * 16 for n in range(1, 17)]
ONE, TRIO = Queue("one", random_share=0), Queue("trio", reviewers=3, random_share=0)
COMMENT, CORRECTED, MODE = "comment of ada", "ada would say so", "mode that ada names"
ADDRESSES = {
    "dashboard": ["/"],
    "traces": ["/traces"],
    "traces_newer": ["/traces/newer"],
    "trace": ["/traces/{trace}"],
    "trace_otlp": ["/traces/{trace}/otlp.json"],
    "trace_signals": ["/traces/{trace}/signals"],
    "span": ["/traces/{trace}/spans/0000000000000001"],
    "sessions": ["/sessions"],
    "session": ["/sessions/{trace}"],
    "queues": ["/queues"],
    "queue_edit": ["/queues/one/edit"],
    "queue": ["/queues/one?trace={trace}", "/queues/trio?trace={trace}"],
    "queue_items": ["/queues/one/items", "/queues/trio/items"],
    "queue_results": ["/queues/one/results", "/queues/trio/results"],
    "queue_items_csv": ["/queues/one/items.csv"],
    "issues": ["/issues?state=all"],
    "issue": ["/issues/1?traces=all"],
    "modes": ["/modes"],
    "clusters": ["/clusters"],
    "cluster": [],
    "novel": ["/clusters/novel"],
    "datasets": ["/datasets"],
    "dataset": ["/datasets/kept"],
    "dataset_diff": ["/datasets/kept/diff"],
    "waiting": ["/waiting"],
    "login": [],
}
"""Where each page is, by its name. No run has clusters here; who logs in sees no trace."""
TELLING = ("trace", "queue_items_csv", "issue", "dataset")
"""Where a label is told once it may be."""
NAMES_MODES = {
    "/", "/issues?state=all", "/modes", "/datasets", "/queues/one?trace={trace}", "/queues/trio?trace={trace}",
}  # fmt: skip
"""A failure mode that somebody named is a word for all to use at once. Which trace showed it these do not say."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody with a browser that runs no scripts."""

    client: httpx.Client

    def take(self, queue: str, trace_id: str) -> httpx.Response:
        return self.client.post(f"/queues/{queue}/take", data={"to": trace_id})

    def label(self, queue: str, trace_id: str, verdict: str, token: str = "", **more: str) -> httpx.Response:
        form = {"trace": trace_id, "verdict": verdict, "token": token or uuid.uuid4().hex, **more}
        return self.client.post(f"/queues/{queue}/label", data=form)

    def takes_and_labels(self, queue: str, trace_id: str, verdict: str, **more: str) -> None:
        self.take(queue, trace_id)
        done = self.label(queue, trace_id, verdict, **more)
        assert done.status_code == 303, re.findall(r'role="alert">([^<]*)', done.text)
        for following in re.findall("[?&]trace=([0-9a-f]{32})", done.headers["location"]):
            self.client.post(f"/queues/{queue}/release", data={"trace": following})


@dataclass(frozen=True, slots=True)
class Place:
    served: Served
    database: TenantDatabase
    free: Iterator[str]
    """Traces that no test has used."""
    desks: dict[str, Desk]

    def desk(self, name: str) -> Desk:
        if name not in self.desks:
            self.desks[name] = Desk(self.served.client(cookies={"evalgate-name": name}))
        return self.desks[name]

    def labels(self, trace_id: str) -> list[tuple[str, str]]:
        rows = self.database.rows(
            "SELECT annotator, verdict FROM tenant_annotations(tenant = {tenant:String}) "
            "WHERE trace_id = {trace_id:String} ORDER BY created_at",
            {"trace_id": trace_id},
        )
        return [(r["annotator"], r["verdict"]) for r in rows]


@pytest.fixture(scope="module")
def place(embedded_spare: Spare, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    dsn = embedded_spare.take()
    with connect(dsn) as opened:
        database = TenantDatabase(opened, "default")
        traffic = Traffic(database)
        for trace_id in MANY:
            traffic.refund(trace_id)
        for queue in (ONE, TRIO):
            create_queue(database, queue, actor="test")
            rows = [{"queue": queue.name, "event": "added", "is_priority": True, "trace_id": t} for t in MANY]
            database.insert_rows("queue_items", rows)
        with serving(dsn, tmp_path_factory.mktemp("project")) as served:
            place = Place(served, database, iter(MANY), {})
            yield place
            for desk in place.desks.values():
                desk.client.close()
        embedded_spare.give_back(opened)


def told(
    place: Place, who: str, trace_id: str, words: tuple[str, ...], pages: Iterable[str] = TELLING
) -> list[tuple[str, str]]:
    """Return (address, word) of whatever a visitor finds on the pages."""
    found = []
    client = place.desk(who).client
    for path in (p for name in pages for p in ADDRESSES[name]):
        answer = client.get(path.format(trace=trace_id), follow_redirects=True)
        assert answer.status_code in {200, 204, 400, 404}, (path, answer.status_code)
        own = list(words)
        if path in NAMES_MODES:
            own.remove(MODE)
        if path.startswith(("/issues", "/datasets")):
            own += [trace_id[:8], case_id_of(trace_id, "").removeprefix("case-")]
        text = answer.text
        if path.startswith("/issues"):  # its name is that of the issue
            text = text.replace(MODE, "")
        found += [(path, word) for word in own if word in text]
    return found


def test_every_page_is_walked() -> None:
    assert {p.name for p in all_pages() if "GET" in p.methods} <= set(ADDRESSES)


def test_a_blind_reviewer_finds_on_no_page_what_another_said(place: Place) -> None:
    trace_id = next(place.free)
    ada, bob = place.desk("ada"), place.desk("bob")
    said = {"other_mode": MODE, "comment": COMMENT, "corrected_output": CORRECTED}
    words = (MODE, COMMENT, CORRECTED)
    ada.takes_and_labels("trio", trace_id, "bad", **said)
    (case,) = list_cases(place.database, ids=[case_id_of(trace_id, "")])
    kept = place.served.folder / DATASETS / "kept.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text(f"{to_json_line(case_to_json(case.case))}\n")
    assert find_item(place.database, ONE, trace_id).state is ItemState.DONE
    assert told(place, "bob", trace_id, words, ADDRESSES) == []
    # Neither out of the queue, nor in one that is closed.
    bob.take("trio", trace_id)
    assert bob.client.post("/queues/trio/remove", data={"trace": trace_id, "reason": "to look"}).status_code == 303
    assert told(place, "bob", trace_id, words) == []
    assert bob.client.post("/queues/trio/restore", data={"trace": trace_id}).status_code == 303
    closed = close_queue(place.database, find_queue(place.database, "trio"), actor="bob")
    assert told(place, "bob", trace_id, words) == []
    assert "1 more belong to traces" in bob.client.get("/datasets/kept").text
    change_queue(place.database, replace(closed, is_open=True), actor="bob")
    # Having said something himself, he learns neither what she said nor that they differ: a third has to say it blind.
    bob.takes_and_labels("trio", trace_id, "good")
    assert told(place, "bob", trace_id, words) == []
    assert trace_id[:16] not in bob.client.get("/queues/trio/results").text
    refused = bob.client.post("/issues/1/split", data={"trace": trace_id, "into": "something else"})
    assert (refused.status_code, "not all are through" in refused.text) == (400, True)
    place.desk("cy").takes_and_labels("trio", trace_id, "bad")
    assert trace_id[:16] in place.desk("dora").client.get("/queues/trio/results").text, "it waits for a decision"
    assert told(place, "dora", trace_id, words) == []
    place.desk("dora").takes_and_labels("trio", trace_id, "bad")
    assert {word for _, word in told(place, "bob", trace_id, words)} > set(words)


def test_nobody_replaces_a_label_of_somebody_else_by_its_id(place: Place) -> None:
    first, second = next(place.free), next(place.free)
    place.desk("ada").takes_and_labels("one", first, "bad")
    (row,) = place.database.rows(
        "SELECT annotation_id FROM tenant_annotations(tenant = {tenant:String}) WHERE trace_id = {trace_id:String}",
        {"trace_id": first},
    )
    place.desk("cy").takes_and_labels("one", second, "good", token=row["annotation_id"])
    assert (place.labels(first), place.labels(second)) == ([("ada", "bad")], [("cy", "good")])


def test_a_form_sent_again_is_one_label_with_other_words_another_and_undone_none(place: Place) -> None:
    trace_id, token = next(place.free), uuid.uuid4().hex
    ada = place.desk("ada")
    ada.take("one", trace_id)
    for verdict in ("bad", "bad", "good", "bad"):  # the last one comes late: he has said something else since
        assert ada.label("one", trace_id, verdict, token).status_code == 303
    assert place.labels(trace_id) == [("ada", "bad"), ("ada", "good")]
    assert ada.client.post("/queues/one/undo", data={"of": trace_id}).status_code == 303
    late = ada.label("one", trace_id, "good", token)
    assert (late.status_code, "this label was undone" in late.text) == (400, True)
    assert place.labels(trace_id) == [("ada", "bad")]
    (fresh,) = re.findall(r'name="token" value="([0-9a-f]{32})"', late.text)
    assert ada.label("one", trace_id, "good", fresh).status_code == 303
    assert place.labels(trace_id) == [("ada", "bad"), ("ada", "good")]


def test_what_was_cut_short_is_repaired_by_the_same_form(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    trace_id, token = next(place.free), uuid.uuid4().hex
    ada = place.desk("ada")
    ada.take("one", trace_id)

    def dies(*_: object, **__: object) -> None:
        raise Retryable("cut short")

    with monkeypatch.context() as cut:
        cut.setattr(saving, "record", dies)
        assert ada.label("one", trace_id, "bad", token).status_code == 503
    assert place.labels(trace_id) == [("ada", "bad")]
    assert not list_cases(place.database, ids=[case_id_of(trace_id, "")])
    assert ada.label("one", trace_id, "bad", token).status_code == 303
    assert place.labels(trace_id) == [("ada", "bad")]
    assert [c.case.verdict for c in list_cases(place.database, ids=[case_id_of(trace_id, "")])] == ["bad"]


def test_what_one_holds_nobody_else_removes_and_a_refused_form_shows_what_was_written(place: Place) -> None:
    trace_id = next(place.free)
    ada, bob = place.desk("ada"), place.desk("bob")
    ada.take("one", trace_id)
    refused = bob.client.post("/queues/one/remove", data={"trace": trace_id, "reason": "in the way"})
    assert (refused.status_code, "is with ada" in refused.text) == (400, True)
    late = bob.label("one", trace_id, "bad", comment="an hour of <b>thought</b>", other_mode="tone of bob")
    assert late.status_code == 400
    assert "an hour of &lt;b&gt;thought&lt;/b&gt;" in late.text
    assert "failure mode: tone of bob" in late.text
    assert not place.labels(trace_id)


def test_at_most_a_page_of_items_is_assigned_at_once(place: Place) -> None:
    answer = place.desk("bob").client.post(
        "/queues/one/assign", data={"item": [f"{n:032x}" for n in range(101)], "reviewer": "ada"}
    )
    assert (answer.status_code, "at most 100" in answer.text) == (400, True)
