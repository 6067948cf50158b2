"""Write what `nsc` would: its store, its keystore and a server's configuration. No code of the exchange is used."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import nkeys

CREDS = """-----BEGIN NATS USER JWT-----
{token}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------

*************************************************************
"""
NO_LIMITS = {
    "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1,
}  # fmt: skip
JETSTREAM = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
UNLIMITED = {"subs": -1, "data": -1, "payload": -1}
SCOPE = {
    "pub": {"allow": ["exchange.v1.cmd.{{name()}}.>", "exchange.v1.query.{{name()}}.>"]},
    "sub": {"allow": ["_INBOX.{{name()}}.>", "exchange.v1.evt.{{name()}}", "exchange.v1.md.>"]},
    "subs": 1000,
    "data": -1,
    "payload": 1048576,
    "allowed_connection_types": ["STANDARD"],
}
GATEWAY = {
    "pub": {"allow": ["_INBOX.>", "exchange.v1.evt.>", "exchange.v1.md.>"]},
    "sub": {"allow": ["_INBOX.gateway.>", "exchange.v1.cmd.>", "exchange.v1.query.>"]},
}
GUARD = {
    "pub": {"allow": ["$SYS.REQ.>"]},
    "sub": {"allow": ["$SYS.ACCOUNT.>", "_INBOX.guard.>"]},
}


def encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


class Key:
    """A new key of one kind."""

    def __init__(self, prefix: int) -> None:
        import os

        self.seed = nkeys.encode_seed(os.urandom(32), prefix).decode()
        self.pair = nkeys.from_seed(self.seed.encode())
        self.public = self.pair.public_key.decode()

    def sign(self, name: str, subject: str, nats: dict[str, Any]) -> str:
        claims = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject, "nats": nats}
        digest = hashlib.new("sha512_256", json.dumps(claims).encode()).digest()
        claims = {"jti": base64.b32encode(digest).decode().rstrip("="), **claims}
        signed = encode({"typ": "JWT", "alg": "ed25519-nkey"}) + "." + encode(claims)
        signature = base64.urlsafe_b64encode(self.pair.sign(signed.encode())).decode().rstrip("=")
        return f"{signed}.{signature}"


class NscStore:
    """Hold what `nsc add operator ACME --sys`, `nsc add account`, `nsc add user` and the like leave behind."""

    def __init__(self, home: Path, *, scope: dict[str, Any] | None = SCOPE, core: dict[str, int] | None = None) -> None:
        self.store = home / "stores" / "ACME"
        self.keys = home / "keys"
        self.root, self.operator_key = Key(nkeys.PREFIX_BYTE_OPERATOR), Key(nkeys.PREFIX_BYTE_OPERATOR)
        self.accounts = {name: Key(nkeys.PREFIX_BYTE_ACCOUNT) for name in ("SYS", "AGENTS", "CORE")}
        self.tokens: dict[str, str] = {}
        self.write(self.store / ".nsc", '{"managed":false,"name":"ACME","kind":"operator","version":"1"}')
        operator = {
            "signing_keys": [self.operator_key.public],
            "system_account": self.accounts["SYS"].public,
            "type": "operator",
            "version": 2,
        }
        self.operator = self.root.sign("ACME", self.root.public, operator)
        self.write(self.store / "ACME.jwt", self.operator)
        self.signing = Key(nkeys.PREFIX_BYTE_ACCOUNT)
        # `nsc` also knows signing keys without a scope; those are text.
        keys: list[object] = [Key(nkeys.PREFIX_BYTE_ACCOUNT).public]
        if scope is not None:
            keys.append({"kind": "user_scope", "key": self.signing.public, "role": "agent", "template": scope})
        self.add_account("SYS", {})
        self.add_account("AGENTS", {"signing_keys": keys})
        self.add_account("CORE", {}, JETSTREAM if core is None else core)
        self.add_seed(self.signing)

    def write(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        file.write_text(text)

    def add_seed(self, key: Key) -> None:
        public = key.public
        self.write(self.keys / "keys" / public[0] / public[1:3] / f"{public}.nk", key.seed)

    def add_account(self, name: str, more: dict[str, Any], jetstream: dict[str, int] | None = None) -> None:
        nats = {
            "limits": NO_LIMITS | (jetstream or {}),
            "default_permissions": {"pub": {}, "sub": {}},
            "authorization": {},
            "type": "account",
            "version": 2,
            **more,
        }
        # By a signing key of the operator, as its root key lies in a safe.
        self.tokens[name] = self.operator_key.sign(name, self.accounts[name].public, nats)
        self.write(self.store / "accounts" / name / f"{name}.jwt", self.tokens[name])

    def add_user(self, account: str, name: str, permissions: dict[str, Any]) -> Path:
        user = Key(nkeys.PREFIX_BYTE_USER)
        nats = {"pub": {}, "sub": {}} | permissions | UNLIMITED | {"type": "user", "version": 2}
        token = self.accounts[account].sign(name, user.public, nats)
        file = self.keys / "creds" / "ACME" / account / f"{name}.creds"
        self.write(file, CREDS.format(token=token, seed=user.seed))
        self.write(self.store / "accounts" / account / "users" / f"{name}.jwt", token)
        return file

    def server_config(self, store_dir: Path, resolver_dir: Path, ports: Path) -> str:
        """Return what `nsc generate config --nats-resolver` gives, with JetStream and a free port."""
        preload = "".join(f"  {self.accounts[name].public}: {token}\n" for name, token in self.tokens.items())
        return (
            f"host: 127.0.0.1\nport: -1\nmax_payload: 8MB\nports_file_dir: {json.dumps(str(ports))}\n"
            f"jetstream: {{ store_dir: {json.dumps(str(store_dir))}, sync_interval: always }}\n"
            f"operator: {self.operator}\nsystem_account: {self.accounts['SYS'].public}\n"
            f'resolver: {{ type: full, dir: {json.dumps(str(resolver_dir))}, allow_delete: false, interval: "2m" }}\n'
            f"resolver_preload: {{\n{preload}}}\n"
        )
