"""Take over an operator and accounts that somebody made elsewhere with `nsc`, NATS's own tool.

Its store holds signed claims: `<operator>/<operator>.jwt`, `<operator>/accounts/<account>/<account>.jwt`. Its
keystore holds seeds, `keys/A/BC/ABC….nk`, and credentials, `creds/<operator>/<account>/<user>.creds`. What is
missing is told all at once, each with the command of `nsc` that makes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exchange.adapters._jwt import (
    CredentialError,
    Signer,
    claims_of,
    read_secret,
    read_text,
    sync_directory,
    user_claims_of,
    write_secret,
)
from exchange.adapters.credentials import AGENT_TEMPLATE, IMPORTED, USERS, Keyring, account_in, scoped_key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NscSource", "import_nsc"]

_REQUIRED: Final = ("gateway", "journal")


@dataclass(frozen=True)
class NscSource:
    """Say where things are and what they are called there."""

    store: Path
    """The directory of one operator, in nsc's `stores`."""
    keys: Path
    """nsc's keystore, with `keys` and `creds` in it."""
    accounts: Mapping[str, str]
    """How the accounts `agents`, `core` and `sys` are called."""

    @property
    def operator(self) -> str:
        """The operator's name."""
        return self.store.name

    def account_jwt(self, role: str) -> Path:
        """Return the file of an account's claims."""
        name = self.accounts[role]
        return self.store / "accounts" / name / f"{name}.jwt"

    def seed(self, key: str) -> Path:
        """Return the file of a seed by its public key."""
        return self.keys / "keys" / key[0] / key[1:3] / f"{key}.nk"

    def creds(self, role: str, user: str) -> Path:
        """Return the file of a user's credential."""
        return self.keys / "creds" / self.operator / self.accounts[role] / f"{user}.creds"


def import_nsc(source: NscSource, target: Path) -> tuple[Keyring, list[str]]:
    """Make a keyring in `target` of what `nsc` made; return it and what could be better.

    Raises:
        CredentialError: something is missing or not right; the text says all of it, with the commands.
    """
    problems: list[str] = []
    notes: list[str] = []
    texts: dict[str, str] = {}
    claims = _read_claims(source, texts, problems)
    if claims["agents"] is not None:
        _check_agents(source, claims["agents"], texts, problems, notes)
    if claims["core"] is not None and not _has_jetstream(claims["core"]):
        problems.append(
            f"account {source.accounts['core']} has no JetStream: nsc edit account {source.accounts['core']} "
            "--js-disk-storage -1 --js-mem-storage -1 --js-streams -1 --js-consumer -1"
        )
    for user, (role, publish, subscribe) in USERS.items():
        if claims.get(role) is not None:
            _check_user(source, user, claims[role], (publish, subscribe), texts, problems, notes)
    if "guard.creds" not in texts:
        notes.append("without a user `guard` in the system account nobody is disconnected")
    if problems:
        listed = "".join(f"\n- {problem}" for problem in problems)
        message = f"{source.store} is not ready for a venue:{listed}\nThen push the accounts with `nsc push --all`."
        raise CredentialError(message)
    _write(target, texts)
    return Keyring.load(target), notes


def _read_claims(source: NscSource, texts: dict[str, str], problems: list[str]) -> dict[str, Any]:
    """Return the claims of the accounts by role; None of those that cannot be used."""
    file = source.store / f"{source.operator}.jwt"
    if not file.exists():
        message = f"{source.store} is no store of nsc: there is no {file.name}; give the directory of an operator"
        raise CredentialError(message)
    texts["operator.jwt"] = read_text(file)
    operator = claims_of(texts["operator.jwt"].strip(), file)
    issuers = {operator["sub"], *operator["nats"].get("signing_keys", [])}
    roles = ["agents", "core", *(["sys"] if source.account_jwt("sys").exists() else [])]
    claims = {role: _account(source, role, issuers, problems) for role in roles}
    for role, found in claims.items():
        if found is not None:
            texts[f"{role}.jwt"] = read_text(source.account_jwt(role))
    return claims


def _account(source: NscSource, role: str, issuers: set[str], problems: list[str]) -> Any:
    name, file = source.accounts[role], source.account_jwt(role)
    if not file.exists():
        problems.append(f"there is no account {name}: nsc add account {name}")
        return None
    claims = claims_of(read_text(file).strip(), file)
    if claims["iss"] not in issuers:
        problems.append(f"account {name} belongs to another operator: nsc add account {name}")
        return None
    return claims


def _check_agents(
    source: NscSource, claims: dict[str, Any], texts: dict[str, str], problems: list[str], notes: list[str]
) -> None:
    name = source.accounts["agents"]
    if _has_jetstream(claims):
        problems.append(
            f"account {name} has JetStream, which agents must not reach: nsc edit account {name} --js-disable"
        )
    carried = [kind for kind in ("imports", "exports") if claims["nats"].get(kind)]
    notes.extend(f"account {name} has {kind}: what they carry, the venue does not watch" for kind in carried)
    template: Any = AGENT_TEMPLATE
    key = scoped_key_of(claims)
    if key is None:
        publish, subscribe = (",".join(template[kind]["allow"]) for kind in ("pub", "sub"))
        problems.append(
            f"account {name} has no signing key that is scoped to what an agent may do: "
            f"nsc edit signing-key --account {name} --sk generate --role agent --allow-pub '{publish}' "
            f"--allow-sub '{subscribe}' --subs {template['subs']} --payload {template['payload']} --conn-type STANDARD"
        )
        return
    if not source.seed(key).exists():
        problems.append(f"the seed of {key}, with which agents are signed, is not in {source.keys}: nsc import keys")
        return
    seed = read_secret(source.seed(key)).strip()
    if Signer(seed).public_key != key:
        problems.append(f"{source.seed(key)} holds the seed of another key")
    texts["agents-signing.nk"] = seed + "\n"


def _has_jetstream(claims: dict[str, Any]) -> bool:
    limits = claims["nats"].get("limits", {})
    tiers = limits.get("tiered_limits") or {}
    return any(tier.get("mem_storage") or tier.get("disk_storage") for tier in (limits, *tiers.values()))


def _check_user(
    source: NscSource,
    user: str,
    account: dict[str, Any],
    needs: tuple[list[str], list[str]],
    texts: dict[str, str],
    problems: list[str],
    notes: list[str],
) -> None:
    role = USERS[user][0]
    name, file = source.accounts[role], source.creds(role, user)
    command = (
        f"nsc add user --account {name} --name {user} --allow-pub '{','.join(needs[0])}' "
        f"--allow-sub '{','.join(needs[1])}'"
    )
    if not file.exists():
        if user in _REQUIRED:
            problems.append(f"there is no user {user} in {name}, or no {file}: {command}")
        return
    text = read_secret(file)
    claims = user_claims_of(text, file)
    if account_in(claims) != account["sub"]:
        problems.append(f"{file} is of another account: {command}")
        return
    for kind, subjects in zip(("pub", "sub"), needs, strict=True):
        allowed = claims["nats"].get(kind, {}).get("allow")
        # A token of a scoped key has none of its own; the server will judge.
        missing = [one for one in subjects if allowed is not None and not any(_covers(wide, one) for wide in allowed)]
        if missing:
            problems.append(f"user {user} of {name} may not {kind} {', '.join(missing)}: {command}")
    if user == "gateway" and "pub" in claims["nats"] and not claims["nats"]["pub"].get("allow"):
        notes.append(f"user gateway of {name} may do everything in its account; better: {command}")
    texts[f"{user}.creds"] = text


def _covers(wide: str, subject: str) -> bool:
    """Tell whether a subject with wildcards holds all that another does."""
    have, want = wide.split("."), subject.split(".")
    for at, part in enumerate(have):
        if part == ">":
            return len(want) > at
        if at >= len(want) or want[at] == ">" or (part not in {"*", want[at]}):
            return False
    return len(have) == len(want)


def _write(target: Path, texts: dict[str, str]) -> None:
    """Write the keyring, whole or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            for name, text in (texts | {IMPORTED: "by nsc\n"}).items():
                write_secret(draft / name, text if text.endswith("\n") else text + "\n", replace=False)
            os.rename(draft, target)  # noqa: PTH104 - as Keyring.create does, over an empty directory
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_directory(target.parent)
    except OSError as error:
        message = f"cannot write the keyring {target}: {error.strerror}"
        raise CredentialError(message) from None
