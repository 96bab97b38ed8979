"""The users of deploy/clickhouse on a cluster: the writer may do what it must, readers have their tenant from all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from deploy.clickhouse.for_cluster import for_cluster
from exporters.clickhouse.connect import connect
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.migrate import migrate
from schema.errors import EvalgateError
from tests.clickhouse.otlp import batch_of, span, spans_record
from tests.clickhouse.test_users import BASE, PASSWORD
from tests.deploy.conftest import Pair, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.server
USERS: Final = Path(__file__).resolve().parents[2] / "deploy/clickhouse/users.xml"
TENANTS: Final = ("acme", "globex")


@pytest.fixture(scope="module")
def pair(clickhouse_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Return a database of the writer's on two servers, with twenty traces of each tenant."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "users.d").mkdir()
    (folder / "users.xml").write_text(BASE)
    # The servers of the tests need the user default for themselves.
    own = for_cluster(USERS.read_text(), "evalgate").replace('<default remove="remove"/>', "")
    (folder / "users.d" / "evalgate.xml").write_text(own)
    users = (
        f"<users_config>{folder}/users.xml</users_config>"
        f"<user_directories><users_xml><path>{folder}/users.xml</path></users_xml></user_directories>"
    )
    sha256 = hashlib.sha256(PASSWORD.encode()).hexdigest()
    names = dict.fromkeys((f"EVALGATE_{who}_SHA256" for who in ("WRITER", "OPERATOR", "ACME")), sha256)
    for ports in serve(folder, users, {**os.environ, **names}):
        made = Pair(ports, "evalgate")
        with connect(as_user(made.dsn(), "writer"), create_database=True) as db:
            migrate(db)
            for number, tenant in enumerate(TENANTS):
                ids = range(1 + 100 * number, 21 + 100 * number)
                insert_batch(db, batch_of(spans_record([span(i, i) for i in ids], tenant=tenant)), f"t/{tenant}")
        yield made


def as_user(dsn: str, name: str) -> str:
    return dsn.replace("http://", f"http://evalgate_{name}:{PASSWORD}@")


def count(pair: Pair, user: str, server: int, table: str) -> dict[str, int]:
    with connect(as_user(pair.alone(server, pair.database), user)) as db:
        rows = db.rows(f"SELECT tenant, count() AS n FROM {table} GROUP BY tenant")
    return {row["tenant"]: row["n"] for row in rows}


@pytest.mark.parametrize("table", ["spans", "traces", "settled_spans", "otel_traces"])
@pytest.mark.parametrize("server", [0, 1])
def test_a_reader_has_its_tenant_from_all_servers_and_the_operator_has_all(pair: Pair, server: int, table: str) -> None:
    assert count(pair, "acme", server, table) == {"acme": 20}
    assert count(pair, "operator", server, table) == dict.fromkeys(TENANTS, 20)


@pytest.mark.parametrize("user", ["acme", "operator"])
def test_readers_change_nothing_on_any_server(pair: Pair, user: str) -> None:
    for database in (pair.database, f"{pair.database}_local"):
        with connect(as_user(pair.alone(0, database), user)) as db, pytest.raises(EvalgateError):
            db.command("INSERT INTO spans (tenant) VALUES ('acme')")
