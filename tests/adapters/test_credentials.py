"""The keyring: what it writes, what it keeps, and what it refuses."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from exchange.adapters.credentials import (
    RESERVED_AGENT_IDS,
    CredentialError,
    Keyring,
    agent_id_of,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    """Return the keyring of a new venue."""
    return Keyring.create(tmp_path / "keys")


def claims_in(text: str) -> dict[str, Any]:
    """Return the claims of the JWT in a `.creds` text or a bare JWT."""
    token = next(word for word in text.split() if word.startswith("eyJ"))
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def seeds_of(keyring: Keyring) -> list[str]:
    """Return every seed that the keyring's files hold."""
    texts = [file.read_text(encoding="utf-8") for file in keyring.path.iterdir()]
    return [word for text in texts for word in text.split() if word.startswith(("SA", "SO", "SU"))]


def test_files_are_private(keyring: Keyring) -> None:
    """The directory is 0700 and each file in it 0600."""
    assert keyring.path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in keyring.path.iterdir()} == {0o600}


def test_load_gives_what_create_made(keyring: Keyring) -> None:
    """A loaded keyring names the same accounts and holds the same JWTs."""
    loaded = Keyring.load(str(keyring.path))
    assert loaded.account_jwts == keyring.account_jwts
    assert loaded.operator_jwt == keyring.operator_jwt
    ids = [loaded.system_account_id, loaded.agents_account_id, loaded.core_account_id]
    assert list(loaded.account_jwts) == ids
    assert len(set(ids)) == 3


def test_create_keeps_what_is_there(keyring: Keyring) -> None:
    """A second create in the same place is refused and changes nothing."""
    before = {file.name: file.read_bytes() for file in keyring.path.iterdir()}
    with pytest.raises(CredentialError, match="absent or an empty directory"):
        Keyring.create(keyring.path)
    assert {file.name: file.read_bytes() for file in keyring.path.iterdir()} == before
    assert [entry.name for entry in keyring.path.parent.iterdir()] == ["keys"]


def test_create_takes_an_empty_directory(tmp_path: Path) -> None:
    """An empty directory is filled and made private."""
    tmp_path.chmod(0o755)
    target = tmp_path / "empty"
    target.mkdir(mode=0o755)
    assert Keyring.create(target).path.stat().st_mode & 0o777 == 0o700


def test_load_without_a_keyring_says_how_to_get_one(tmp_path: Path) -> None:
    """A missing directory is reported with the command that makes one."""
    with pytest.raises(CredentialError, match="exchange init"):
        Keyring.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name",
    ["operator.jwt", "sys.jwt", "agents.jwt", "core.jwt", "gateway.creds", "journal.creds"],
)
@pytest.mark.parametrize("content", [None, b"", b"no key", b"\xff\xfe", b"eyJ.W10.x"])
def test_load_names_the_damaged_file(keyring: Keyring, name: str, content: bytes | None) -> None:
    """A missing or damaged part is named in the error."""
    file = keyring.path / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(CredentialError, match=name):
        Keyring.load(keyring.path)


def test_load_refuses_parts_of_another_venue(keyring: Keyring, tmp_path: Path) -> None:
    """A credential or an account of another venue is noticed."""
    other = Keyring.create(tmp_path / "other")
    shutil.copy2(other.gateway_creds_path, keyring.gateway_creds_path)
    with pytest.raises(CredentialError, match=r"gateway\.creds belongs to another venue"):
        Keyring.load(keyring.path)
    shutil.copy2(other.path / "agents.jwt", keyring.path / "agents.jwt")
    with pytest.raises(CredentialError, match=r"agents\.jwt belongs to another operator"):
        Keyring.load(keyring.path)


def test_load_refuses_a_credential_that_others_can_read(keyring: Keyring) -> None:
    """A credential readable by others is refused with the command that mends it."""
    keyring.journal_creds_path.chmod(0o644)
    with pytest.raises(CredentialError, match="chmod 600"):
        Keyring.load(keyring.path)


def test_minting_needs_the_signing_key_and_loading_does_not(keyring: Keyring) -> None:
    """A copy without the seeds serves a daemon, and says what is missing when asked to mint."""
    for seed in keyring.path.glob("*.nk"):
        seed.unlink()
    daemon = Keyring.load(keyring.path)
    with pytest.raises(CredentialError, match=r"agents-signing\.nk"):
        daemon.mint_agent("alice")
    with pytest.raises(CredentialError, match=r"operator\.nk"):
        daemon.revoke_agent("alice")


@pytest.mark.parametrize("damage", ["cut", "other", "flipped"])
def test_minting_refuses_a_damaged_key(keyring: Keyring, damage: str) -> None:
    """A seed that is not the one the account names is refused, and not quoted."""
    file = keyring.path / "agents-signing.nk"
    seed = file.read_text(encoding="utf-8").strip()
    other = (keyring.path / "core.nk").read_text(encoding="utf-8").strip()
    swapped = seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]
    file.write_text({"cut": seed[:30], "other": other, "flipped": swapped}[damage])
    with pytest.raises(CredentialError, match="restore it from a backup") as raised:
        keyring.mint_agent("alice")
    assert seed[:10] not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("agent_id", ["a", "alice", "A_b-9", "-", "x" * 32])
def test_mints_for_every_allowed_id(keyring: Keyring, tmp_path: Path, agent_id: str) -> None:
    """The credential names the agent, and is issued by the scoped key without permissions."""
    file = tmp_path / "agent.creds"
    file.write_text(keyring.mint_agent(agent_id))
    assert agent_id_of(file) == agent_id
    claims = claims_in(file.read_text())
    assert claims["nats"] == {
        "issuer_account": keyring.agents_account_id,
        "type": "user",
        "version": 2,
    }
    assert claims["iss"] not in keyring.account_jwts


@pytest.mark.parametrize(
    "agent_id",
    ["", "x" * 33, "a.b", "*", ">", "a b", "a\n", "é", "{{name()}}", "a/b", *sorted(RESERVED_AGENT_IDS)],
)
def test_refuses_ids_that_would_widen_the_permissions(
    keyring: Keyring,
    tmp_path: Path,
    agent_id: str,
) -> None:
    """An id with a dot, a wildcard or a reserved name is refused, and nothing is written."""
    with pytest.raises(CredentialError, match="cannot be an agent's id"):
        keyring.mint_agent(agent_id)
    with pytest.raises(CredentialError, match="cannot be an agent's id"):
        keyring.write_agent_creds(agent_id, tmp_path / "agent.creds")
    assert not (tmp_path / "agent.creds").exists()
    assert not (keyring.path / "issued").exists()


def test_writing_again_keeps_the_credential(keyring: Keyring, tmp_path: Path) -> None:
    """The second call changes no byte, and puts the mode right."""
    file = tmp_path / "agents" / "alice.creds"
    assert keyring.write_agent_creds("alice", file)
    text = file.read_bytes()
    file.chmod(0o644)
    assert not Keyring.load(keyring.path).write_agent_creds("alice", str(file))
    assert file.read_bytes() == text
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["alice.creds"]


def test_never_overwrites_another_credential(keyring: Keyring, tmp_path: Path) -> None:
    """A file of another agent, another venue or no credential at all stays as it is."""
    file = tmp_path / "agent.creds"
    other = Keyring.create(tmp_path / "other")
    for text in (keyring.mint_agent("bob"), other.mint_agent("alice"), "my diary"):
        file.write_text(text)
        with pytest.raises(CredentialError, match=str(file)):
            keyring.write_agent_creds("alice", file)
        assert file.read_text() == text


def test_a_revoked_credential_is_replaced(keyring: Keyring, tmp_path: Path) -> None:
    """Revoking lists every key minted for the agent and no other; writing then mints anew."""
    file = tmp_path / "alice.creds"
    keyring.write_agent_creds("alice", file)
    keys = {claims_in(file.read_text())["sub"], claims_in(keyring.mint_agent("alice"))["sub"]}
    keyring.mint_agent("bob")
    token = keyring.revoke_agent("alice")
    assert set(claims_in(token)["nats"]["revocations"]) == keys
    assert keyring.account_jwts[keyring.agents_account_id] == token
    assert Keyring.load(keyring.path).account_jwts == keyring.account_jwts
    assert keyring.write_agent_creds("alice", file)
    assert claims_in(file.read_text())["sub"] not in keys
    assert not keyring.write_agent_creds("alice", file)


def test_revoking_an_agent_without_credentials_is_harmless(keyring: Keyring) -> None:
    """Nobody is revoked when nothing was minted for the agent."""
    assert claims_in(keyring.revoke_agent("nobody"))["nats"]["revocations"] == {}


def test_agent_id_of_refuses_what_is_not_an_agents(keyring: Keyring, tmp_path: Path) -> None:
    """The gateway's credential, a missing file and half a credential are refused."""
    half = tmp_path / "half.creds"
    half.write_text(keyring.mint_agent("alice")[:-100])
    for file in (keyring.gateway_creds_path, tmp_path / "missing", half):
        with pytest.raises(CredentialError, match=file.name):
            agent_id_of(file)


def test_no_secret_is_shown(keyring: Keyring, tmp_path: Path) -> None:
    """No seed appears in a repr, nor in the error about a file that holds one."""
    seeds = seeds_of(keyring)
    assert len(seeds) == 9
    broken = tmp_path / "broken.creds"
    broken.write_text(keyring.gateway_creds_path.read_text().replace("eyJ", "xyz"))
    with pytest.raises(CredentialError) as raised:
        agent_id_of(broken)
    shown = repr(keyring) + str(raised.value) + repr(vars(keyring))
    assert not [seed for seed in seeds if seed in shown]


def test_an_older_keyring_gets_what_it_lacks(keyring: Keyring) -> None:
    """A keyring without the guard's credential loads; `upgrade` adds it once, and not without the key for it."""
    keyring.guard_creds_path.unlink()
    (keyring.path / "sys.nk").rename(keyring.path.parent / "sys.nk")
    older = Keyring.load(keyring.path)
    assert not older.upgrade()
    assert not older.guard_creds_path.exists()
    (keyring.path.parent / "sys.nk").rename(keyring.path / "sys.nk")
    assert older.upgrade()
    assert not older.upgrade()
    assert older.guard_creds_path.stat().st_mode & 0o777 == 0o600
    assert claims_in(older.guard_creds_path.read_text())["iss"] == older.system_account_id
    Keyring.load(keyring.path)


def test_rotating_replaces_the_file_and_revokes_what_came_before(keyring: Keyring, tmp_path: Path) -> None:
    """All earlier keys are void at once; the new file is whole, private and another; others stay as they are."""
    file, copy = tmp_path / "alice.creds", tmp_path / "copy.creds"
    keyring.write_agent_creds("alice", file)
    copy.write_text(keyring.mint_agent("alice"))
    keyring.write_agent_creds("bob", tmp_path / "bob.creds")
    old = {claims_in(each.read_text())["sub"] for each in (file, copy)}
    keyring.rotate_agent("alice", file)
    assert agent_id_of(file) == "alice"
    assert file.stat().st_mode & 0o777 == 0o600
    assert keyring.revoked_keys().keys() == old
    assert claims_in(file.read_text())["sub"] not in old
    assert not keyring.is_revoked("alice")
    with pytest.raises(CredentialError, match="another agent"):
        keyring.rotate_agent("alice", tmp_path / "bob.creds")


def test_a_grace_is_signed_ahead(keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends later is signed now, is brought forth when it is time without any key, and survives other changes."""
    now = 1_800_000_000
    monkeypatch.setattr("time.time", lambda: now)
    file = tmp_path / "alice.creds"
    keyring.write_agent_creds("alice", file)
    first = claims_in(file.read_text())["sub"]
    keyring.rotate_agent("alice", file, grace_s=3_600)
    assert (keyring.revoked_keys(), keyring.next_change_s()) == ({}, now + 3_600)
    # Another agent's revocation meanwhile must not be lost when the time has come.
    keyring.write_agent_creds("bob", tmp_path / "bob.creds")
    keyring.revoke_agent("bob")
    bob = claims_in((tmp_path / "bob.creds").read_text())["sub"]
    assert keyring.revoked_keys().keys() == {bob}
    for seed in keyring.path.glob("*.nk"):
        seed.rename(tmp_path / seed.name)
    now += 3_601
    daemon = Keyring.load(keyring.path)
    assert daemon.revoked_keys().keys() == {first, bob}
    assert daemon.next_change_s() is None
    assert claims_in(daemon.account_jwts[daemon.agents_account_id])["nats"]["revocations"].keys() == {first, bob}
    for seed in tmp_path.glob("*.nk"):
        seed.rename(keyring.path / seed.name)
    # The next change takes it over, and the file that was signed ahead goes.
    daemon.revoke_agent("alice")
    assert first in daemon.revoked_keys()
    assert [path.name for path in keyring.path.glob("agents.*.jwt")] == []
