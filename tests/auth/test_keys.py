"""Keys: what is kept of them, who is let in by them, and what nobody learns."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import os
import shlex
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.app import run
from collector.auth.gate import RECHECK_S, KeyGate, OpenGate, bearer, open_gate
from collector.auth.key import TOKEN, digest, matches, new_key
from collector.auth.key_file import KeyFile
from schema.errors import ConfigError, Reason, Refused
from schema.identity import MAX_TENANTS, Identity, Scope, check_tenant
from schema.serving import AuthConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INGEST = frozenset({Scope.INGEST})
NOW_S = 1_800_000_000


class Clock:
    """A clock that a test moves."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(file: KeyFile) -> Callable[..., str]:
    """Make a key of tenant `acme`; return it as text."""

    def make(tenant: str = "acme", scopes: frozenset[Scope] = INGEST, **more: Any) -> str:
        text, key = new_key(tenant=tenant, scopes=scopes, now_unix_s=NOW_S, **more)
        file.add(key)
        return text

    return make


def gate_of(file: KeyFile, clock: Clock) -> KeyGate:
    return KeyGate(file, clock_s=clock, monotonic_s=clock)


def refusal(gate: KeyGate | OpenGate, *arguments: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        gate.admit(*arguments)
    return caught.value


def test_a_key_has_32_random_bytes_and_its_id_is_no_part_of_them() -> None:
    text, kept = new_key(tenant="acme", scopes=INGEST, now_unix_s=1)
    match = TOKEN.fullmatch(text)
    assert match is not None
    assert match[1] == kept.key_id
    assert len(base64.urlsafe_b64decode(match[2] + "=")) == 32
    others = {new_key(tenant="acme", scopes=INGEST, now_unix_s=1)[0] for _ in range(100)}
    assert len(others) == 100


def test_the_file_holds_a_hash_and_no_secret(file: KeyFile, make: Callable[..., str]) -> None:
    text = make()
    written = file.path.read_text()
    assert text.rpartition("_")[2] not in written
    assert digest(text) in written
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [p.name for p in file.path.parent.iterdir() if p.name.startswith(".")] == []


def test_a_good_key_says_whose_it_is(file: KeyFile, make: Callable[..., str], clock: Clock) -> None:
    text = make()
    found = gate_of(file, clock).admit(f"Bearer {text}", None, Scope.INGEST)
    assert found == Identity("acme", INGEST, text[3:15])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None,
        lambda _: "",
        lambda key: key,
        lambda key: f"Basic {key}",
        lambda key: f"Bearer {key}x",
        lambda key: f"Bearer {key[:-1]}",
        lambda key: f"Bearer {key[:-1]}{'A' if key[-1] != 'A' else 'B'}",
        lambda key: f"Bearer eg_{'a' * 12}_{key[16:]}",
        lambda key: f"Bearer {key.upper()}",
        lambda key: f"Bearer {key}, Bearer {key}",
        lambda key: f"Bearer {key} {key}",
        lambda key: f"Bearer {key}\0",
        lambda key: f"Bearer {key}\n",
        lambda _: "Bearer " + "x" * 100_000,
        lambda _: "Bearer eg_ünïcödeünïc_" + "x" * 43,
    ],
)
def test_anything_else_is_no_key(
    file: KeyFile, make: Callable[..., str], clock: Clock, spoil: Callable[[str], str | None]
) -> None:
    key = make()
    refused = refusal(gate_of(file, clock), spoil(key), None, Scope.INGEST)
    assert refused.reason is Reason.UNAUTHENTICATED
    assert key[3:15] not in str(refused)
    assert key[16:40] not in str(refused)


@given(st.text(max_size=80))
def test_no_header_is_a_crash(text: str) -> None:
    assert isinstance(bearer(text), str)
    assert not matches(f"eg_{'a' * 12}_{'b' * 43}", None)


@pytest.mark.parametrize("header", ["bearer {}", "BEARER {}", "Bearer    {}", "  Bearer {}\t", "Bearer \t{} "])
def test_the_scheme_is_taken_in_any_case_and_with_blanks(
    file: KeyFile, make: Callable[..., str], clock: Clock, header: str
) -> None:
    text = make()
    assert gate_of(file, clock).admit(header.format(text), None, Scope.INGEST).tenant == "acme"


def test_an_unknown_id_costs_the_same_comparison(
    file: KeyFile, make: Callable[..., str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return compare(a, b)

    known, unknown = make(), new_key(tenant="acme", scopes=INGEST, now_unix_s=NOW_S)[0]
    gate = gate_of(file, clock)
    monkeypatch.setattr("collector.auth.key.hmac.compare_digest", watched)
    refusal(gate, f"Bearer {unknown}", None, Scope.INGEST)
    refusal(gate, f"Bearer {known[:-1]}!", None, Scope.INGEST)  # not even of the shape of one: nothing is compared
    refusal(gate, f"Bearer {known[:20]}{'A' * 39}", None, Scope.INGEST)
    assert compared == [(64, 64), (64, 64)]


def test_a_tenant_header_can_only_narrow(file: KeyFile, make: Callable[..., str], clock: Clock) -> None:
    header = f"Bearer {make()}"
    gate = gate_of(file, clock)
    assert gate.admit(header, "acme", Scope.INGEST).tenant == "acme"
    for tenant in ("globex", "", "acme, acme", "ACME", "*"):
        assert refusal(gate, header, tenant, Scope.INGEST).reason is Reason.FORBIDDEN


@pytest.mark.parametrize("has", [Scope.READ, Scope.ADMIN])
def test_a_scope_includes_no_other(file: KeyFile, make: Callable[..., str], clock: Clock, has: Scope) -> None:
    text = make(scopes=frozenset({has}))
    refused = refusal(gate_of(file, clock), f"Bearer {text}", None, Scope.INGEST)
    assert refused.reason is Reason.FORBIDDEN
    assert "ingest" in str(refused)


def test_a_revoked_key_is_refused_within_seconds(file: KeyFile, make: Callable[..., str], clock: Clock) -> None:
    text, other = make(), make()
    gate = gate_of(file, clock)
    gate.admit(f"Bearer {text}", None, Scope.INGEST)
    file.revoke(text[3:15], now_unix_s=NOW_S)
    clock.now_s += RECHECK_S
    assert refusal(gate, f"Bearer {text}", None, Scope.INGEST).reason is Reason.UNAUTHENTICATED
    gate.admit(f"Bearer {other}", None, Scope.INGEST)
    assert RECHECK_S <= 10


def test_a_key_that_is_made_later_is_known_within_seconds(
    file: KeyFile, make: Callable[..., str], clock: Clock
) -> None:
    gate = gate_of(file, clock)
    text = make()
    clock.now_s += RECHECK_S
    gate.admit(f"Bearer {text}", None, Scope.INGEST)


def test_an_expired_key_is_refused_at_its_second(file: KeyFile, make: Callable[..., str], clock: Clock) -> None:
    text = make(expires_unix_s=NOW_S + 60)
    gate = gate_of(file, clock)
    clock.now_s = NOW_S + 59.9
    gate.admit(f"Bearer {text}", None, Scope.INGEST)
    clock.now_s = NOW_S + 60
    assert refusal(gate, f"Bearer {text}", None, Scope.INGEST).reason is Reason.UNAUTHENTICATED


@pytest.mark.parametrize("spoil", [lambda p: p.write_text("{"), lambda p: p.unlink()])
def test_keys_that_cannot_be_read_any_more_let_nobody_in_and_cost_nobody_a_span(
    file: KeyFile,
    make: Callable[..., str],
    clock: Clock,
    spoil: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    header = f"Bearer {make()}"
    gate = gate_of(file, clock)
    before = file.path.read_bytes()
    spoil(file.path)
    clock.now_s += RECHECK_S
    refused = refusal(gate, header, None, Scope.INGEST)
    assert refused.reason is Reason.UNAVAILABLE
    assert refused.retry_after_s
    file.path.write_bytes(before)
    file.path.chmod(0o600)
    clock.now_s += RECHECK_S
    gate.admit(header, None, Scope.INGEST)
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "damaged"),
        ("[]", "damaged"),
        ("[" * 100_000, "damaged"),
        ('{"version": 2, "keys": []}', "version 2"),
        ('{"version": 1, "keys": [{"id": 1}]}', "damaged"),
        ('{"version": 1, "keys": 7}', "damaged"),
    ],
)
def test_a_file_that_is_none_stops_the_start(file: KeyFile, content: str, words: str) -> None:
    file.path.write_text(content)
    file.path.chmod(0o600)
    with pytest.raises(ConfigError, match=words):
        KeyGate(file)


@pytest.mark.parametrize("field", ["sha256", "tenant", "scopes", "expires_unix_s"])
def test_one_bad_field_makes_the_file_damaged(file: KeyFile, make: Callable[..., str], field: str) -> None:
    make()
    document = json.loads(file.path.read_text())
    document["keys"][0][field] = {"sha256": "zz", "tenant": "../etc", "scopes": ["root"], "expires_unix_s": "soon"}[
        field
    ]
    file.path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="damaged"):
        file.read()


def test_a_file_that_others_can_read_is_refused(file: KeyFile, make: Callable[..., str]) -> None:
    make()
    file.path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        file.read()


@pytest.mark.parametrize(("mode", "is_read"), [(0o440, True), (0o444, False), (0o460, False), (0o604, False)])
def test_a_file_of_a_mount_may_be_read_by_the_group_that_it_is_mounted_for(
    file: KeyFile, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch, mode: int, *, is_read: bool
) -> None:
    make()
    file.path.chmod(mode)
    owner = file.path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if is_read:
        assert len(file.read()) == 1
    else:
        with pytest.raises(ConfigError, match="chmod 600"):
            file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_makes_is_the_folders_owners_and_nothing_else_is(
    file: KeyFile, make: Callable[..., str], tmp_path: Path
) -> None:
    os.chown(tmp_path, 65532, 65533)
    make()
    made = [file.path, tmp_path / "keys.lock"]
    assert {(p.stat().st_uid, p.stat().st_gid, stat.S_IMODE(p.stat().st_mode)) for p in made} == {(65532, 65533, 0o600)}
    roots = tmp_path / "of-root"
    roots.touch()
    (tmp_path / "keys.lock").unlink()
    (tmp_path / "keys.lock").symlink_to(roots)
    make("other")
    assert roots.stat().st_uid == 0
    assert file.path.stat().st_uid == 65532


def test_without_keys_the_command_is_named_that_makes_one(
    file: KeyFile, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    KeyGate(file)
    program, *arguments = shlex.split(caplog.messages[-1].partition("make one: ")[2])
    assert program == "evalgate-collector"
    assert run(arguments) == 0
    gate = KeyGate(file)
    assert gate.admit(f"Bearer {capsys.readouterr().out.strip()}", None, Scope.INGEST).tenant == "NAME"


def test_there_is_a_last_tenant(file: KeyFile, make: Callable[..., str]) -> None:
    make()
    document = json.loads(file.path.read_text())
    one = document["keys"][0]
    document["keys"] = [{**one, "id": f"{i:012d}", "tenant": f"t{i}"} for i in range(MAX_TENANTS)]
    file.path.write_text(json.dumps(document))
    make("t5")
    with pytest.raises(ConfigError, match=str(MAX_TENANTS)):
        make("one-more")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "a b", "a\n", "a\0", "-a", "_a", "ä", "a" * 65, "a%2Fb", "${x}", "*"]
)
def test_a_tenant_is_a_plain_word(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a tenant"):
        check_tenant(name)


@pytest.mark.parametrize("name", ["default", "a", "Acme-7", "eu.west_1", "7", "a" * 64])
def test_plain_words_are_tenants(name: str) -> None:
    assert check_tenant(name) == name


def test_without_keys_everyone_is_the_tenant_of_the_configuration(tmp_path: Path) -> None:
    gate = open_gate(AuthConfig(tenant="lab"), tmp_path, scopes=INGEST)
    assert gate.admit(None, None, Scope.INGEST).tenant == "lab"
    assert gate.admit("Bearer what", "lab", Scope.INGEST).tenant == "lab"
    for tenant, scope in (("other", Scope.INGEST), (None, Scope.READ)):
        with pytest.raises(Refused) as caught:
            gate.admit(None, tenant, scope)
        assert caught.value.reason is Reason.FORBIDDEN


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "keys", "tenant": "a"},
        {"mode": "none", "keys_file": "x"},
        {"mode": "password"},
        {"mode": "keys", "required_headers": ["x"]},
        {"tenant": "a/b"},
    ],
)
def test_no_option_is_ignored(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"auth\.|mode|required_headers|tenant"):
        AuthConfig.model_validate(settings)


def test_every_mode_that_asks_for_credentials_refuses_bad_ones(tmp_path: Path) -> None:
    modes = AuthConfig.model_json_schema()["properties"]["mode"]["enum"]
    assert sorted(modes) == ["keys", "none"], "a new mode needs its negative test here"
    gate = open_gate(AuthConfig(mode="keys"), tmp_path, scopes=INGEST)
    for credentials in (None, "", "Bearer x", f"Bearer eg_{'a' * 12}_{'b' * 43}"):
        with pytest.raises(Refused) as caught:
            gate.admit(credentials, None, Scope.INGEST)
        assert caught.value.reason is Reason.UNAUTHENTICATED
