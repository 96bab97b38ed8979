"""Who is let in, what an answer allows a browser, and what a page may not do."""

from __future__ import annotations

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import PlainTextResponse

from collector.auth.gate import RECHECK_S
from collector.auth.key import new_key
from collector.auth.key_file import KeyFile
from evalgate.database import TenantDatabase
from evalgate.dataset.store import DATASETS
from evalgate.web.application import HEADERS
from evalgate.web.logins import MAX_LOGINS, Logins
from evalgate.web.pages import all_pages, login
from evalgate.web.pages.login import own_path
from evalgate.web.site import NOWHERE, SCOPES, Page, Site
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.errors import ConfigError
from schema.identity import Scope
from tests.evalgate.traffic import Traffic
from tests.web.serving import Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

KEYS: dict[str, Any] = {"mode": "keys"}
OPEN_POLICY = ("unsafe", "*", "data:", "http:", "https:", "blob:")


@pytest.fixture(scope="module")
def dsn(embedded_folder: Path) -> str:
    found = f"chdb://{embedded_folder}?database=web_security"
    with connect(found) as db:
        migrate(db)
    return found


class Keys:
    """A key file and the keys in it, as text by scope."""

    def __init__(self, folder: Path) -> None:
        self.file = KeyFile(folder / "keys.json")
        self.text: dict[str, str] = {}
        self.id: dict[str, str] = {}
        for scope in Scope:
            self.add(scope.value, frozenset({scope}))

    def add(self, name: str, scopes: frozenset[Scope]) -> str:
        text, kept = new_key(tenant="acme", scopes=scopes, name=f"key {name}", now_unix_s=int(time.time()))
        self.file.add(kept)
        self.text[name], self.id[name] = text, kept.key_id
        return text


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guarded(dsn: str, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the pages to those who have a key."""
    folder = tmp_path_factory.mktemp("project")
    with serving(dsn, folder, auth={**KEYS, "keys_file": keys.file.path}) as served:
        yield served


@pytest.fixture(scope="module")
def opened(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the pages to everybody on this machine."""
    with serving(dsn, tmp_path_factory.mktemp("project")) as served:
        yield served


def filled(path: str) -> str:
    """Return the path of a page with something in the places of its parameters."""
    return re.sub(r"\{[^}]*\}", "1", path)


def own_pages() -> list[Page]:
    return [p for p in all_pages() if p.scope is not None]


@pytest.mark.parametrize("page", own_pages(), ids=lambda p: f"{p.methods[0]} {p.path}")
def test_a_page_takes_keys_of_its_scope_and_no_other(guarded: Served, keys: Keys, page: Page) -> None:
    assert page.scope is not None
    takes = SCOPES[page.scope]
    with guarded.client() as client:
        for method in page.methods:
            assert (method in ("GET", "HEAD")) or page.scope is Scope.REVIEW, "what changes something is for reviewers"
            for scope in Scope:
                # Whoever is let in with an address that is too long is told so: one of them looks at the page itself.
                query = "" if scope is takes[0] else f"?{'x' * (17 << 10)}"
                headers = {"authorization": f"Bearer {keys.text[scope]}"}
                status = client.request(method, filled(page.path) + query, headers=headers).status_code
                assert (status == 403) == (scope not in takes), (method, scope, status)
                assert (status == 414) == bool(query and scope in takes), (method, scope, status)
                assert status not in (401, 500), "on an empty database a page says that there is nothing"
            bad = client.request(
                method, filled(page.path), headers={"authorization": f"Bearer {keys.text['read'][:-1]}x"}
            )
            assert bad.status_code == 401
            nobody = client.request(method, filled(page.path))
            assert nobody.status_code == (303 if method == "GET" else 401)
            assert method != "GET" or nobody.headers["location"].startswith("/login?next=%2F")


def test_only_the_pages_of_logging_in_are_for_everybody() -> None:
    assert {p.path for p in all_pages() if p.scope is None} == {"/login", "/logout"}
    assert all(p.public for p in all_pages() if p.scope is None)


@pytest.mark.parametrize(
    "path", ["/login", "/static/app.css", "/nothing", "/traces", "/static/..%2fapp.css", "/static/x.css"]
)
def test_every_answer_has_every_header(guarded: Served, path: str) -> None:
    with guarded.client() as client:
        answer = client.get(path)
    for name, value in HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert answer.headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in answer.headers


def test_the_policy_allows_our_own_files_and_nothing_else() -> None:
    policy = dict(HEADERS)[b"content-security-policy"].decode()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert {rules[f"{what}-src"] for what in ("script", "style", "connect", "img")} == {"'self'"}
    assert rules["form-action"] == "'self'"
    assert not [word for word in OPEN_POLICY if word in policy]


def test_a_file_may_be_kept_for_good_under_the_name_of_its_version(opened: Served) -> None:
    with opened.client() as client:
        page = client.get("/login", follow_redirects=True)
        address = re.search(r'href="(/static/app\.css\?v=[0-9a-f]+)"', page.text)
        assert address is not None
        kept = client.get(address[1])
        assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = client.get("/static/app.css", headers={"if-none-match": kept.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_key_logs_in_and_out(guarded: Served, keys: Keys) -> None:
    with guarded.client() as client:
        asked = client.get("/traces?where=failing+%3D+true")
        assert asked.headers["location"] == "/login?next=%2Ftraces%3Fwhere%3Dfailing%2B%253D%2Btrue"
        form = {"key": keys.text["review"], "next": "/traces?where=failing+%3D+true"}
        done = client.post("/login", data=form)
        assert (done.status_code, done.headers["location"]) == (303, form["next"])
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert keys.text["review"] not in cookie
        page = client.get("/traces")
        assert page.status_code == 200
        assert "key review" in page.text, "the name of the key is that of the reviewer"
        assert client.post("/name", data={"name": "somebody else"}).status_code == 400
        assert client.post("/logout").headers["location"] == "/login"
        assert client.get("/traces").status_code == 303


def test_the_cookie_is_for_tls_alone_where_there_is_tls(guarded: Served, keys: Keys) -> None:
    with guarded.client() as client:
        host = guarded.url.removeprefix("http://")
        behind_a_proxy = {"origin": f"https://{host}", "sec-fetch-site": "same-origin"}
        done = client.post("/login", data={"key": keys.text["read"]}, headers=behind_a_proxy)
    assert "Secure" in done.headers["set-cookie"]


@pytest.mark.parametrize("key", ["", "eg_x", "wrong", "ingest"])
def test_what_is_no_key_to_read_logs_nobody_in(guarded: Served, keys: Keys, key: str) -> None:
    with guarded.client() as client:
        answer = client.post("/login", data={"key": keys.text.get(key, key)})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert keys.text["ingest"] not in answer.text


def test_a_revoked_key_ends_its_logins(guarded: Served, keys: Keys) -> None:
    key = keys.add("leaving", frozenset({Scope.READ}))
    with guarded.client() as client:
        deadline_s = time.monotonic() + 10
        while client.post("/login", data={"key": key}).status_code != 303:  # the file is looked at once a second
            assert time.monotonic() < deadline_s
        assert client.get("/traces").status_code == 200
        keys.file.revoke(keys.id["leaving"], now_unix_s=int(time.time()))
        revoked_s = time.monotonic()
        while client.get("/traces").status_code == 200:
            assert time.monotonic() < revoked_s + 10
        assert time.monotonic() - revoked_s < RECHECK_S + 1


def test_who_may_only_read_sends_nothing(guarded: Served, keys: Keys) -> None:
    with guarded.client() as client:
        client.post("/login", data={"key": keys.text["read"]})
        assert client.get("/traces").status_code == 200
        assert client.post("/name", data={"name": "me"}).status_code == 403


def test_a_page_of_another_site_sends_nothing(opened: Served) -> None:
    own = opened.url
    with opened.client() as client:
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}, {"origin": "null"}):
            answer = client.post("/name", data={"name": "evil"}, headers=headers)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers
        ours = client.post("/name", data={"name": "ann"}, headers={"origin": own, "sec-fetch-site": "same-origin"})
        assert ours.status_code == 303
        assert client.get("/traces", headers={"host": "evil.example"}).status_code == 421
        framed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
        assert client.get("/traces", headers=framed).status_code == 403


def test_a_visitor_says_his_name_once(opened: Served) -> None:
    with opened.client() as client:
        client.post("/name", data={"name": "  Zoë   <b>  "})
        assert "Zoë &lt;b&gt;" in client.get("/traces").text
        for wrong in ("", "x" * 81, "a\x00b", "a\u202eb"):
            assert client.post("/name", data={"name": wrong}).status_code == 400


def test_a_form_has_a_size(opened: Served) -> None:
    with opened.client() as client:
        assert client.post("/name", data={"name": "x" * (1 << 20)}).status_code == 413
        assert client.post("/name", content=b"{}", headers={"content-type": "application/json"}).status_code == 400
        assert client.get("/traces?" + "a" * (17 << 10)).status_code == 414


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "evil", "", "/é"]
)
def test_after_a_login_one_stays_here(elsewhere: str) -> None:
    assert own_path(elsewhere) == "/"
    assert own_path("/traces?x=//y") == "/traces?x=//y"


def test_a_login_expires_and_there_are_not_too_many() -> None:
    now_s = 0.0
    logins = Logins(lasts_s=60, monotonic_s=lambda: now_s)
    first = logins.add("key")
    assert logins.key(first) == "key"
    assert logins.key("") is None
    now_s = 60.0
    assert logins.key(first) is None
    held = [logins.add("key") for _ in range(MAX_LOGINS + 1)]
    assert logins.key(held[0]) is None
    assert logins.key(held[1]) == "key"
    assert len(set(held)) == len(held)


@pytest.mark.parametrize(
    ("auth", "words"), [(None, "anyone there could read and review"), (KEYS, "keys could be read")]
)
def test_the_pages_do_not_stand_open_beyond_this_machine(
    tmp_path: Path, auth: dict[str, Any] | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words), serving("chdb:///nowhere", tmp_path, endpoint="0.0.0.0:0", auth=auth):
        pass


def test_a_tenant_sees_its_own(dsn: str, tmp_path: Path) -> None:
    """Each page that needs nothing but a list, and the pages of a trace and a session of the other one."""
    file, text = KeyFile(tmp_path / "keys.json"), {}
    with connect(dsn) as db:
        for number, tenant in enumerate(("acme", "globex")):
            text[tenant], kept = new_key(tenant=tenant, scopes=frozenset({Scope.REVIEW}), now_unix_s=int(time.time()))
            file.add(kept)
            span = {"input_text": f"canary of {tenant}", "session_id": f"session of {tenant}", "user_id": tenant}
            now = {"received_at": datetime.now(UTC), "start_time": datetime.now(UTC), "end_time": datetime.now(UTC)}
            Traffic(TenantDatabase(db, tenant)).trace(f"{number:032x}", [{**span, **now, "failing": True}])
    lists = [p.path for p in own_pages() if "GET" in p.methods and "{" not in p.path and p.path != "/traces/newer"]
    others = [
        f"/traces/{1:032x}",
        f"/traces/{1:032x}/otlp.json",
        "/sessions/session%20of%20globex",
        "/traces/newer?came=1",
    ]
    with serving(dsn, tmp_path, auth={**KEYS, "keys_file": file.path}) as served, served.client() as client:
        client.headers["authorization"] = f"Bearer {text['acme']}"
        pages = {path: client.get(path) for path in (*lists, *others)}
        own = client.get("/traces").text
        client.headers["x-evalgate-tenant"] = "globex"
        assert "canary of globex" not in client.get("/traces").text
    assert "canary of acme" in own
    for path, page in pages.items():
        assert "canary of globex" not in page.text, path
        assert "session of globex" not in page.text or path.startswith("/sessions/"), path
    assert [pages[p].status_code for p in others[:3]] == [404, 404, 404]


async def forever(site: Site, request: Request) -> Response:
    """Ask for what takes longer than anybody waits."""
    text = "SELECT sum(sipHash64(number)) AS x FROM numbers(100000000000)"
    rows = await site.read(request, lambda database: database.rows(text))
    return PlainTextResponse(str(rows))


async def larger(site: Site, request: Request) -> Response:
    """Ask for what takes more memory than a page may."""
    text = "SELECT groupArray(toString(number)) AS x FROM numbers(100000000)"
    rows = await site.read(request, lambda database: database.rows(text))
    return PlainTextResponse(str(rows))


def test_a_statement_that_takes_too_long_or_too_much_is_stopped_and_told(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = (Page("/forever", forever, "forever"), Page("/larger", larger, "larger"), *login.PAGES)
    monkeypatch.setattr("evalgate.web.application.all_pages", lambda: pages)
    limits: dict[str, Any] = {"max_execution_time_s": 0.3, "max_memory_bytes": 16 << 20, "concurrency": 1}
    with serving(dsn, tmp_path, **limits) as served, served.client() as client:
        slow = client.get("/forever")
        assert (slow.status_code, "took longer than 0.3 s" in slow.text) == (503, True)
        large = client.get("/larger")
        assert (large.status_code, "more memory than a page may take" in large.text) == (503, True)
        with ThreadPoolExecutor(3) as threads:
            answers = list(threads.map(lambda _: client.get("/forever").text, range(3)))
    assert any("other pages keep the database busy" in text for text in answers), "one connection is for one page"


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "evalgate.web.application")
    with pytest.raises(ConfigError, match=r"needs starlette.*pip install"), serving("chdb:///nowhere", tmp_path):
        pass


def test_a_mistake_of_ours_shows_nothing_of_it(monkeypatch: pytest.MonkeyPatch, opened: Served) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("the words of somebody")

    monkeypatch.setattr("evalgate.web.pages.login.read_name", fail)
    with opened.client() as client:
        answer = client.post("/name", data={"name": "x"})
        part = client.post("/name", data={"name": "x"}, headers={"hx-request": "true"})
    assert (answer.status_code, part.status_code) == (500, 500)
    assert "the words of somebody" not in answer.text
    assert "<html" in answer.text
    assert "<html" not in part.text


def test_files_of_the_project_are_those_of_one_tenant(dsn: str, keys: Keys, tmp_path: Path) -> None:
    """What a key of another tenant finds is what would be there without a project."""
    kept = tmp_path / DATASETS / "secret.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}\n")
    auth = {**KEYS, "keys_file": keys.file.path}
    seen = {}
    for tenant in ("beta", "acme"):
        with serving(dsn, tmp_path, auth=auth, tenant=tenant) as served, served.client() as client:
            client.headers["authorization"] = f"Bearer {keys.text[Scope.REVIEW]}"
            every = [client.get(p) for p in ("/", "/traces", "/issues", "/clusters", "/queues")]
            seen[tenant] = client.get("/datasets").text
            one = client.get("/datasets/secret")
            sent = client.post("/datasets/secret/promote", data={"case": "x", "reason": "y"})
        assert {a.status_code for a in every} <= {200, 303}
        assert ("there is no dataset" in one.text, sent.status_code == 404) == ((tenant == "beta",) * 2)
    assert "secret" in seen["acme"]
    assert "secret" not in seen["beta"]
    assert "no project folder for your tenant, acme" in seen["beta"]
    assert not NOWHERE.parent.is_dir(), "nothing can be made there"
