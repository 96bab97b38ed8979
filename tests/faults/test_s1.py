"""S1: a key that is wrong, revoked, of another tenant, or missing.

Injected: requests without a key, with a wrong, an expired, a revoked and a read-only one, with the key of one tenant
and the name of another, over HTTP and gRPC, while a good key sends.
Holds: 401 or 403, no row of a refused request, every row of the good key; a revoked key is refused within 10 s; no key
is in the log, in an answer or in a file of the data directory.
Figure: 36 requests refused, the revoked key within 1 s.
"""

from __future__ import annotations

import http.client
import subprocess
import time
from typing import TYPE_CHECKING, Any

from collector.auth.key import new_key
from collector.auth.key_file import KeyFile
from schema.identity import Scope
from tests.faults.harness import Producer, conserve, until
from tests.faults.harness.process import BIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch


def make_key(collector: Collector, tenant: str, scope: Scope = Scope.INGEST, **more: Any) -> str:
    """Make a key in the file of a collector, which runs or not."""
    text, kept = new_key(tenant=tenant, scopes=frozenset({scope}), now_unix_s=int(time.time()), **more)
    KeyFile(collector.data_dir / "keys.json").add(kept)
    return text


def answer_of(collector: Collector, headers: dict[str, str]) -> str:
    """Return what a request with these headers is answered, headers and body."""
    host, _, port = collector.http.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("POST", "/v1/traces", b"{}", {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        return f"{answer.status} {answer.getheaders()} {answer.read()!r}"
    finally:
        connection.close()


def test_nobody_gets_in_with_a_bad_key_and_no_key_gets_out(
    launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(config={"receivers": {"otlp": {"auth": {"mode": "keys"}}}})
    good, other, revoked = (make_key(collector, tenant) for tenant in ("acme", "globex", "acme"))
    reader, expired = make_key(collector, "acme", Scope.READ), make_key(collector, "acme", expires_unix_s=1)
    collector.start()
    wrong = f"{good[:-1]}{'A' if good[-1] != 'A' else 'B'}"
    bad: dict[str, dict[str, str]] = {
        "none": {},
        "wrong": {"authorization": f"Bearer {wrong}"},
        "unknown": {"authorization": f"Bearer eg_{'a' * 12}_{good[16:]}"},
        "expired": {"authorization": f"Bearer {expired}"},
        "read only": {"authorization": f"Bearer {reader}"},
        "of another": {"authorization": f"Bearer {other}", "x-evalgate-tenant": "acme"},
    }
    accepted = Producer(collector, threads=1, headers={"authorization": f"Bearer {good}"})
    ends = Producer(collector, threads=1, headers={"authorization": f"Bearer {revoked}"})
    refused = [Producer(collector, transport=t, headers=h) for h in bad.values() for t in ("http", "grpc")]
    with accepted:
        ends.send(2)
        revoke = [str(BIN / "evalgate"), "keys", "revoke", revoked[3:15], "--data-dir", str(collector.data_dir)]
        subprocess.run(revoke, check=True, capture_output=True)
        revoked_s = time.monotonic()
        until(lambda: ends.send()[0].answer == "refused", "the revoked key is refused", deadline_s=10)
        took_s = time.monotonic() - revoked_s
        for producer in refused:
            producer.send(3)
        accepted.until_acked(5)
    assert all(p.answers.keys() <= {"401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"} for p in refused)
    assert sum(p.acked_requests for p in refused) == 0
    conserve(collector, accepted, ends, headers={"authorization": f"Bearer {good}"})
    stored = collector.rows("SELECT tenant, count() AS n FROM spans GROUP BY tenant")
    assert [r["tenant"] for r in stored] == ["acme"]
    said = "".join(answer_of(collector, headers) for headers in bad.values())
    assert collector.terminate() == 0
    kept = b"".join(p.read_bytes() for p in collector.folder.rglob("*") if p.is_file() and "store" not in p.parts)
    for key in (good, other, reader, expired, revoked, wrong):
        assert key[16:] not in said + collector.log
        assert key[16:].encode() not in kept
    record_property("figure", f"{sum(sum(p.answers.values()) for p in refused)} refused, revoked after {took_s:.1f} s")
