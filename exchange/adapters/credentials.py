"""The keys of a venue: operator, accounts and users in NATS's own form.

The server runs in operator mode: it knows one operator and the JWTs of three accounts, and
trusts every user JWT that the right account key signed. Adding an agent therefore touches no
server. Agents' JWTs are signed by a *scoped* key, whose permissions are a template inside the
account's JWT: a JWT signed by that key which brings permissions of its own is refused.

All failures are `CredentialError`. No secret appears in a repr or in an exception.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exchange.adapters._jwt import (
    CredentialError,
    Prefix,
    Signer,
    claims_of,
    creds_text,
    read_secret,
    read_text,
    split_creds,
    sync_directory,
    user_claims_of,
    write_secret,
)
from exchange.messages.base import RESERVED_AGENT_IDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["AccountOnly", "CredentialError", "Keyring", "account_of", "agent_id_of", "expiry_of"]

_AGENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_AHEAD: Final = re.compile(r"agents\.(\d+)\.jwt", re.ASCII)
_ACCOUNTS: Final = ("sys", "agents", "core")
_UNLIMITED: Final = -1

# Twice what the gateway batches, so that an oversized command still gets a readable refusal from
# the gateway; a message that the server itself refuses costs the agent its connection.
_AGENT_PAYLOAD_BYTES_MAX: Final = 1024 * 1024
_AGENT_SUBSCRIPTIONS_MAX: Final = 1_000

AGENT_TEMPLATE: Final[dict[str, Any]] = {
    "pub": {"allow": ["exchange.v1.cmd.{{name()}}.>", "exchange.v1.query.{{name()}}.>"]},
    "sub": {"allow": ["_INBOX.{{name()}}.>", "exchange.v1.evt.{{name()}}", "exchange.v1.md.>"]},
    "subs": _AGENT_SUBSCRIPTIONS_MAX,
    "data": _UNLIMITED,
    "payload": _AGENT_PAYLOAD_BYTES_MAX,
    # A leaf node would bring subjects of other servers into the account.
    "allowed_connection_types": ["STANDARD"],
}
USERS: Final[dict[str, tuple[str, list[str], list[str]]]] = {
    # user: (account, may publish on, may subscribe to)
    "gateway": (
        "agents",
        ["_INBOX.>", "exchange.v1.evt.>", "exchange.v1.md.>"],
        ["exchange.v1.cmd.>", "exchange.v1.query.>", "_INBOX.gateway.>"],
    ),
    "journal": ("core", [">"], [">"]),
    "system": ("sys", ["$SYS.REQ.>"], ["$SYS.>", "_INBOX.system.>"]),
    # What the daemon may do of it: see who is connected, cut a connection off, pass on signed claims, see
    # how full the store is.
    "guard": (
        "sys",
        [
            "$SYS.REQ.SERVER.PING.STATSZ",
            "$SYS.REQ.SERVER.PING.JSZ",
            "$SYS.REQ.SERVER.*.CONNZ",
            "$SYS.REQ.SERVER.*.KICK",
            "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
        ],
        ["$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT", "_INBOX.guard.>"],
    ),
}
IMPORTED: Final = "imported"
"""Stands in a keyring whose accounts somebody else signs: it can mint agents and nothing else."""

_SINCE_0_1: Final = ("gateway", "journal", "system")
"""The users that every keyring has; `Keyring.upgrade` adds the others to an older one."""


class Keyring:
    """The keys of one venue: a directory (0700) of seeds, account JWTs and the venue's own users.

    Loading reads no signing key. A seed is read at the moment it signs and not kept, so a daemon
    can run on a copy of the directory without the `.nk` files, and can then not mint or revoke.
    """

    def __init__(self, path: Path, tokens: Mapping[str, str]) -> None:
        """Hold what `create` and `load` have checked; call those instead."""
        self.path = path
        self._tokens = dict(tokens)

    def __repr__(self) -> str:
        """Show where the keyring is and nothing of what is in it."""
        return f"<Keyring {self.path}>"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Keyring:
        """Make the keys of a new venue in `path`, which must be absent or empty.

        The directory appears complete or not at all.

        Raises:
            CredentialError: `path` holds something already or cannot be written.
        """
        target = Path(path).absolute()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            try:
                _fill(draft)
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            sync_directory(target.parent)
        except OSError as error:
            message = (
                f"cannot create a keyring in {target}: {error.strerror}; "
                "choose a path that is absent or an empty directory"
            )
            raise CredentialError(message) from None
        return cls.load(target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Keyring:
        """Open the keyring in `path` and check that its parts belong together.

        Raises:
            CredentialError: a file is missing, damaged or readable by others.
        """
        directory = Path(path).absolute()
        if not directory.is_dir():
            message = f"there is no keyring in {directory}; `exchange init` creates one"
            raise CredentialError(message)
        is_imported = (directory / IMPORTED).exists()
        files = {name: directory / f"{name}.jwt" for name in ("operator", *_ACCOUNTS)}
        if is_imported and not files["sys"].exists():
            del files["sys"]
        tokens = {name: read_text(file).strip() for name, file in files.items()}
        claims = {name: claims_of(tokens[name], file) for name, file in files.items()}
        issuers = {claims["operator"]["sub"], *claims["operator"]["nats"].get("signing_keys", [])}
        for name in list(files)[1:]:
            if claims[name]["iss"] not in issuers:
                message = f"{files[name]} belongs to another operator; restore the keyring"
                raise CredentialError(message)
        for user, (account, _, _) in USERS.items():
            file = directory / f"{user}.creds"
            is_optional = user not in _SINCE_0_1 or (is_imported and account == "sys")
            if is_optional and not file.exists():
                continue
            if account_in(user_claims_of(read_secret(file), file)) != claims[account]["sub"]:
                message = f"{file} belongs to another venue; restore the keyring"
                raise CredentialError(message)
        return cls(directory, tokens)

    @property
    def operator_jwt(self) -> str:
        """The operator's JWT, as a server's configuration wants it."""
        return self._tokens["operator"]

    @property
    def account_jwts(self) -> dict[str, str]:
        """Each account's public key and JWT, as `resolver_preload` wants them."""
        tokens = self._tokens | {"agents": self.current_claims()}
        return {str(self._claims(name)["sub"]): tokens[name] for name in _ACCOUNTS}

    @property
    def system_account_id(self) -> str:
        """The public key of the system account."""
        return str(self._claims("sys")["sub"])

    @property
    def agents_account_id(self) -> str:
        """The public key of the account of the agents and the gateway."""
        return str(self._claims("agents")["sub"])

    @property
    def core_account_id(self) -> str:
        """The public key of the account that holds the journal."""
        return str(self._claims("core")["sub"])

    @property
    def gateway_creds_path(self) -> Path:
        """The credential of the daemon's connections to the agents; inbox `_INBOX.gateway`."""
        return self.path / "gateway.creds"

    @property
    def journal_creds_path(self) -> Path:
        """The credential of the daemon's connection to the journal; inbox `_INBOX.journal`."""
        return self.path / "journal.creds"

    @property
    def system_creds_path(self) -> Path:
        """The credential of the system account; inbox `_INBOX.system`."""
        return self.path / "system.creds"

    @property
    def guard_creds_path(self) -> Path:
        """The credential of the daemon's guard in the system account; inbox `_INBOX.guard`."""
        return self.path / "guard.creds"

    @property
    def is_imported(self) -> bool:
        """Whether somebody else signs the accounts; this keyring then neither revokes nor tells servers anything."""
        return (self.path / IMPORTED).exists()

    def upgrade(self) -> bool:
        """Add what keyrings of earlier versions lack; tell whether there was anything.

        Without the keys that it takes nothing happens: what is missing is then done without.

        Raises:
            CredentialError: the keyring cannot be written.
        """
        seed = self.path / "sys.nk"
        if self.guard_creds_path.exists() or not seed.exists():
            return False
        with self._locked():
            if not self.guard_creds_path.exists():
                try:
                    text = _user_creds("guard", self._signer("sys"))
                    write_secret(self.guard_creds_path, text, replace=False)
                except OSError as error:
                    message = f"cannot write {self.guard_creds_path}: {error.strerror}"
                    raise CredentialError(message) from None
        return True

    def mint_agent(self, agent_id: str) -> str:
        """Return the text of a new `.creds` file for `agent_id`.

        Every call makes a new user key; all of them act as the same agent.

        Raises:
            CredentialError: the id is not one an agent may have, or the signing key is missing.
        """
        _check_agent_id(agent_id)
        user = Signer.generate(Prefix.USER)
        # A scoped key wants a JWT without permissions and limits: the server takes the template's.
        nats = {"issuer_account": self.agents_account_id, "type": "user"}
        token = self._signer("agents-signing").sign(agent_id, user.public_key, nats)
        # Noted before it is handed out, so that no credential exists which cannot be revoked.
        with self._locked():
            self._note_issued(agent_id, user.public_key)
        return creds_text(token, user)

    def write_agent_creds(self, agent_id: str, path: str | os.PathLike[str]) -> bool:
        """Write a credential of `agent_id` to `path` (mode 0600); tell whether it is a new one.

        A valid credential of the same agent and venue is kept, so the call can be repeated; a
        revoked one is replaced.

        Raises:
            CredentialError: the id is not allowed, `path` holds something else or is not writable.
        """
        _check_agent_id(agent_id)
        file = Path(path)
        replace = os.path.lexists(file)
        try:
            if replace and self._is_current(agent_id, file):
                file.chmod(0o600)
                return False
            file.parent.mkdir(parents=True, exist_ok=True)
            write_secret(file, self.mint_agent(agent_id), replace=replace)
        except FileExistsError:
            message = f"{file} was written by somebody else just now; try again"
            raise CredentialError(message) from None
        except OSError as error:
            message = f"cannot write {file}: {error.strerror}"
            raise CredentialError(message) from None
        return True

    def rotate_agent(self, agent_id: str, path: str | os.PathLike[str], *, grace_s: int = 0) -> str:
        """Write a new credential of `agent_id` to `path`, and revoke all earlier ones; return the JWT of AGENTS.

        With `grace_s` the earlier ones count for so many seconds more. What revokes them then is signed
        now: `current_claims` brings it forth when it is time, without a key.

        Raises:
            CredentialError: the id is not allowed, `path` holds something else, or a key is missing.
        """
        _check_agent_id(agent_id)
        file = Path(path)
        if not self.is_imported:
            self._signer("operator")
        earlier = self._issued(agent_id)
        try:
            if os.path.lexists(file):
                self._is_current(agent_id, file)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_secret(file, self.mint_agent(agent_id), replace=True)
        except OSError as error:
            message = f"cannot write {file}: {error.strerror}"
            raise CredentialError(message) from None
        return self._revoke(earlier, int(time.time()) + grace_s)

    def revoke_agent(self, agent_id: str) -> str:
        """Revoke every credential minted so far for `agent_id`; return the new JWT of AGENTS.

        A running server learns of it when that JWT is sent, with the system credential, to
        `$SYS.REQ.ACCOUNT.<agents_account_id>.CLAIMS.UPDATE`, and then cuts the agent off; a
        restarted server from its configuration, which has to be written again.

        Raises:
            CredentialError: the id is not allowed, or the operator's key is missing.
        """
        _check_agent_id(agent_id)
        return self._revoke(self._issued(agent_id), int(time.time()))

    def revoked_keys(self) -> dict[str, int]:
        """Return the user keys that are revoked by now, each with the second up to which what it signed is void."""
        if self.is_imported:
            return {}
        return _revocations(claims_of(self.current_claims(), self.path / "agents.jwt"))

    def is_revoked(self, agent_id: str) -> bool:
        """Tell whether no credential minted so far for `agent_id` counts any more."""
        return set(self._issued(agent_id)) <= self.revoked_keys().keys()

    def current_claims(self) -> str:
        """Return the JWT of AGENTS that counts by now, from the files: others may have changed it.

        Nothing, where somebody else signs it: a copy here may be older than what the servers have.

        Raises:
            CredentialError: it cannot be read.
        """
        if self.is_imported:
            return ""
        _, file = max(
            ((due, file) for due, file in self._signed_ahead() if due <= time.time()),
            default=(0, self.path / "agents.jwt"),
        )
        token = read_text(file).strip()
        claims_of(token, file)
        return token

    def next_change_s(self) -> float | None:
        """Return at which second, by the wall clock, claims that were signed ahead begin to count."""
        return min((float(due) for due, _ in self._signed_ahead() if due > time.time()), default=None)

    def _signed_ahead(self) -> list[tuple[int, Path]]:
        """Return the JWTs of AGENTS that wait for their time, each with the second from which it counts."""
        found = ((_AHEAD.fullmatch(file.name), file) for file in self.path.iterdir())
        return sorted((int(match[1]), file) for match, file in found if match)

    def _revoke(self, keys: list[str], from_s: int) -> str:
        """Sign that keys are void from a second on, and all that was signed ahead for later anew."""
        if self.is_imported:
            account = self._claims("agents")["name"]
            steps = [f"nsc revocations add-user --account {account} --user-public-key {key}" for key in keys]
            steps.append(f"nsc push --account {account}")
            message = "the accounts are signed elsewhere; what was issued before is revoked there: " + "; ".join(steps)
            raise CredentialError(message)
        operator = self._signer("operator")
        file = self.path / "agents.jwt"
        with self._locked():
            claims = claims_of(self.current_claims(), file)
            now = int(time.time())
            ahead = self._signed_ahead()
            planned = {due: _revocations(claims_of(read_text(each).strip(), each)) for due, each in ahead if due > now}
            planned[max(from_s, now)] = planned.get(max(from_s, now), {}) | dict.fromkeys(keys, max(from_s, now))
            revoked = _revocations(claims)
            tokens = {now: operator.sign_account(claims, revoked | planned.pop(now, {}), now)}
            revoked = _revocations(claims_of(tokens[now], file))
            for due, more in sorted(planned.items()):
                revoked = revoked | more
                tokens[due] = operator.sign_account(claims, revoked, due)
            for due, token in sorted(tokens.items()):
                target = file if due == now else self.path / f"agents.{due}.jwt"
                write_secret(target, token + "\n", replace=True)
            for due, each in ahead:
                if due <= now:
                    each.unlink(missing_ok=True)
            self._tokens["agents"] = tokens[now]
        return tokens[now]

    def _claims(self, name: str) -> dict[str, Any]:
        return claims_of(self._tokens[name], self.path / f"{name}.jwt")

    def _signer(self, name: str) -> Signer:
        """Read a seed and check that it is the one whose public half the JWTs name."""
        file = self.path / f"{name}.nk"
        agents = self._claims("agents")
        public_key = {
            "operator": agents["iss"],
            "sys": self.system_account_id if "sys" in self._tokens else "",
            "agents-signing": scoped_key_of(agents),
        }[name]
        try:
            signer = Signer(read_secret(file).strip())
        except ValueError:
            signer = None
        if signer is None or signer.public_key != public_key:
            message = f"{file} is damaged or of another venue; restore it from a backup"
            raise CredentialError(message)
        return signer

    def _is_current(self, agent_id: str, file: Path) -> bool:
        """Tell whether the agent's credential still counts; raise if it is something else."""
        text = read_text(file)
        claims = user_claims_of(text, file)
        signed = self._signer("agents-signing").verifies(split_creds(text, file)[0])
        if claims.get("name") != agent_id or not signed:
            message = f"{file} is the credential of another agent or venue; move it away or choose another path"
            raise CredentialError(message)
        # From the file: another process may have revoked it since this keyring was loaded.
        account = self.path / "agents.jwt"
        return claims["sub"] not in _revocations(claims_of(read_text(account).strip(), account))

    def _note_issued(self, agent_id: str, public_key: str) -> None:
        file = self.path / "issued"
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(f"{agent_id} {public_key}\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            message = f"cannot write {file}: {error.strerror}"
            raise CredentialError(message) from None

    def _issued(self, agent_id: str) -> list[str]:
        file = self.path / "issued"
        pairs = [line.split(" ") for line in read_text(file).splitlines()] if file.exists() else []
        return [pair[-1] for pair in pairs if pair[0] == agent_id]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing the keyring meanwhile."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class AccountOnly:
    """Stand in for a keyring where there is none: the account is known, its claims are somebody else's."""

    agents_account_id: str

    def current_claims(self) -> str:
        """Return nothing."""
        return ""

    def revoked_keys(self) -> dict[str, int]:
        """Return nothing."""
        return {}


def account_of(creds_path: str | os.PathLike[str]) -> str:
    """Return the public key of the account to which the user of a `.creds` file belongs.

    Raises:
        CredentialError: the file is missing or is not a credential.
    """
    file = Path(creds_path)
    return account_in(user_claims_of(read_text(file), file))


def scoped_key_of(claims: dict[str, Any]) -> str | None:
    """Return the signing key of an account's claims that is scoped to what an agent may do, if there is one."""
    for key in claims["nats"].get("signing_keys", []):
        template = key.get("template", {}) if isinstance(key, dict) else {}
        subjects = [sorted(template.get(kind, {}).get("allow", ())) for kind in ("pub", "sub")]
        wanted = [sorted(AGENT_TEMPLATE[kind]["allow"]) for kind in ("pub", "sub")]
        if subjects == wanted and not template.get("resp"):
            return str(key["key"])
    return None


def account_in(claims: dict[str, Any]) -> str:
    """Return the account of a user's claims, which one of its signing keys may have issued."""
    return str(claims["nats"].get("issuer_account") or claims["iss"])


def expiry_of(creds_path: str | os.PathLike[str]) -> int | None:
    """Return the Unix time at which a `.creds` file expires, None if it never does.

    Raises:
        CredentialError: the file is missing or is not a credential.
    """
    file = Path(creds_path)
    expires_s = user_claims_of(read_text(file), file).get("exp")
    return int(expires_s) if expires_s else None


def agent_id_of(creds_path: str | os.PathLike[str]) -> str:
    """Return the agent id that a `.creds` file speaks for.

    The signature is not checked; the server does that.

    Raises:
        CredentialError: the file is missing or is not a credential of an agent.
    """
    file = Path(creds_path)
    name = user_claims_of(read_text(file), file).get("name")
    if not isinstance(name, str) or not _is_agent_id(name):
        message = f"{file} does not name an agent; ask the venue's operator for a new one"
        raise CredentialError(message)
    return name


def _is_agent_id(text: str) -> bool:
    return _AGENT_ID.fullmatch(text) is not None and text not in RESERVED_AGENT_IDS


def _check_agent_id(agent_id: str) -> None:
    # More than taste: a wildcard or a dot in the id would widen the template's subjects.
    if not _is_agent_id(agent_id):
        message = f"{agent_id!r} cannot be an agent's id; use 1 to 32 of A-Z a-z 0-9 _ - and none of " + ", ".join(
            sorted(RESERVED_AGENT_IDS)
        )
        raise CredentialError(message)


def _fill(directory: Path) -> None:
    """Write a new venue's keys into an empty directory."""
    operator = Signer.generate(Prefix.OPERATOR)
    scoped = Signer.generate(Prefix.ACCOUNT)
    accounts = {name: Signer.generate(Prefix.ACCOUNT) for name in _ACCOUNTS}
    seeds = {"operator": operator, "agents-signing": scoped} | accounts
    texts = {f"{name}.nk": signer.seed + "\n" for name, signer in seeds.items()}
    claims = _account_claims(scoped.public_key)
    operator_jwt = operator.sign("exchange", operator.public_key, {"type": "operator"})
    texts["operator.jwt"] = operator_jwt + "\n"
    for name, account in accounts.items():
        texts[f"{name}.jwt"] = operator.sign(name.upper(), account.public_key, claims[name]) + "\n"
    for name, (account_name, _, _) in USERS.items():
        texts[f"{name}.creds"] = _user_creds(name, accounts[account_name])
    for file_name, text in texts.items():
        write_secret(directory / file_name, text, replace=False)


def _user_creds(name: str, account: Signer) -> str:
    """Return the `.creds` text of one of the venue's own users."""
    _, publish, subscribe = USERS[name]
    user = Signer.generate(Prefix.USER)
    unlimited = dict.fromkeys(("subs", "data", "payload"), _UNLIMITED)
    nats = {"type": "user", "pub": {"allow": publish}, "sub": {"allow": subscribe}, **unlimited}
    return creds_text(account.sign(name, user.public_key, nats), user)


def _revocations(claims: dict[str, Any]) -> dict[str, int]:
    """Return the revoked user keys of an account's claims."""
    return dict(claims["nats"].get("revocations", {}))


def _account_claims(scoped_key: str) -> dict[str, dict[str, Any]]:
    limits = {
        **dict.fromkeys(("subs", "data", "payload", "conn"), _UNLIMITED),
        # Neither leaf nodes nor traffic with other accounts.
        **dict.fromkeys(("leaf", "imports", "exports"), 0),
        "wildcards": True,
        "disallow_bearer": True,
    }
    scope = {"kind": "user_scope", "key": scoped_key, "role": "agent", "template": AGENT_TEMPLATE}
    jetstream = ("mem_storage", "disk_storage", "streams", "consumer")
    nothing = {"deny": [">"]}
    return {
        "sys": {"type": "account", "limits": limits},
        "agents": {
            "type": "account",
            "limits": limits,
            "signing_keys": [scope],
            # For a user JWT that was minted without permissions by the account's own key.
            "default_permissions": {"pub": nothing, "sub": nothing},
        },
        "core": {"type": "account", "limits": limits | dict.fromkeys(jetstream, _UNLIMITED)},
    }
