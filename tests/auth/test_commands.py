"""`evalgate keys`: what is printed, what is kept, and that a key is shown once."""

from __future__ import annotations

import json
import stat
import time
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from collector.app import run
from collector.auth.key import TOKEN
from collector.auth.key_file import KeyFile
from collector.components import installed
from collector.config import parse
from evalgate.app import run as run_evalgate
from schema.identity import Scope

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALGATE_DATA_DIR", raising=False)
    return tmp_path


def make(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert run(["keys", "create", *more]) == 0
    printed = capsys.readouterr()
    (key,) = printed.out.splitlines()
    assert TOKEN.fullmatch(key)
    assert "not shown again" in printed.err
    return key


def test_a_key_is_printed_once_alone_on_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = make(capsys, "--tenant", "acme", "--scope", "ingest", "--scope", "read", "--name", "app", "--expires", "90d")
    for arguments in (["keys", "list"], ["keys", "list", "--json"]):
        assert run(arguments) == 0
        listed = capsys.readouterr().out
        assert key[3:15] in listed
        assert key[16:] not in listed
        assert "acme" in listed
    (entry,) = json.loads(listed)
    assert entry["scopes"] == ["ingest", "read"]
    assert entry["valid"] is True
    file = folder / ".evalgate/data/keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key[16:] not in file.read_text()
    kept = KeyFile(file).read()[key[3:15]]
    assert kept.expires_unix_s is not None
    assert abs(kept.expires_unix_s - time.time() - 90 * 86_400) < 60


def test_a_data_folder_that_is_made_for_the_first_key_is_its_owners_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(capsys)
    assert stat.S_IMODE((folder / ".evalgate/data").stat().st_mode) == 0o700
    mine = folder / "mine"
    mine.mkdir(mode=0o755)
    make(capsys, "--data-dir", str(mine))
    assert stat.S_IMODE(mine.stat().st_mode) == 0o755


def test_json_holds_the_key_and_nothing_else_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_evalgate(["keys", "create", "--tenant", "acme", "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["key"].startswith(f"eg_{document['id']}_")
    assert (document["tenant"], document["scopes"], document["expires_at"]) == ("acme", ["ingest"], None)
    assert printed.err == ""


def test_a_revoked_key_stays_in_the_list_and_stays_revoked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, other = make(capsys), make(capsys, "--scope", "admin")
    for shown in (key[3:15], key):  # a whole key may be pasted
        assert run(["keys", "revoke", shown]) == 0
        said = capsys.readouterr()
        assert "is revoked" in said.out
        assert key[16:] not in said.out + said.err
    keys = KeyFile(folder / ".evalgate/data/keys.json").read()
    assert keys[key[3:15]].revoked_unix_s is not None
    assert keys[other[3:15]].revoked_unix_s is None
    assert keys[other[3:15]].scopes == {Scope.ADMIN}
    assert run(["keys", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "--tenant", "../etc"], "not the name of a tenant"),
        (["create", "--tenant", "a\nb"], "not the name of a tenant"),
        (["create", "--expires", "soon"], "no length of time"),
        (["create", "--expires", "0d"], "no length of time"),
        (["create", "--scope", "root"], "root"),
        (["create", "--name", "a\x1b[31m"], "printable"),
        (["revoke", "nobody"], "there is no key 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert run(["keys", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""
    assert not (folder / ".evalgate/data/keys.json").exists()


def test_the_data_directory_can_be_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(capsys, "--data-dir", str(folder / "one"))
    monkeypatch.setenv("EVALGATE_DATA_DIR", str(folder / "two"))
    make(capsys)
    assert {p.parent.name for p in folder.rglob("keys.json")} == {"one", "two"}
    assert run(["keys", "list", "--data-dir", str(folder / "none")]) == 0
    assert "No keys" in capsys.readouterr().out


@pytest.mark.parametrize(("wanted", "asks"), [(None, False), ("none", False), ("keys", True)])
def test_the_default_configuration_asks_for_keys_when_it_is_told_so(wanted: str | None, *, asks: bool) -> None:
    text = files("collector").joinpath("default.yaml").read_text(encoding="utf-8")
    environment = {"EVALGATE_DSN": "chdb:///x/db"} | ({} if wanted is None else {"EVALGATE_AUTH": wanted})
    config = parse(text, "default.yaml", installed(), environment)
    assert config.receivers["otlp"].settings.asks_for_keys is asks  # type: ignore[attr-defined]  # it is an OtlpConfig
    database = config.extensions["clickhouse_http"].settings
    assert database.auth.mode == ("keys" if asks else "none")  # type: ignore[attr-defined]  # as above
