"""NATS JWTs, nkeys and `.creds` texts, as small as the venue needs them.

The format is version 2 of NATS's JWTs: header and claims as base64url JSON, joined by a dot and
signed with ed25519 by an nkey (`ed25519-nkey`), whose public half is the issuer.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import nkeys  # type: ignore[import-untyped]

__all__ = [
    "CredentialError",
    "Prefix",
    "Signer",
    "claims_of",
    "creds_text",
    "read_secret",
    "read_text",
    "split_creds",
    "sync_directory",
    "user_claims_of",
    "write_secret",
]

_CREDS_PART: Final = re.compile(
    r"-{3,}BEGIN (?P<kind>NATS USER JWT|USER NKEY SEED)-{3,}\s+"
    r"(?P<text>\S+)\s+-{3,}END (?P=kind)-{3,}"
)
_OTHERS_MAY: Final = 0o077
_VERSION: Final = 2


class CredentialError(Exception):
    """Raised when a key, a credential or an agent id cannot be used; the text says what to do."""


class Prefix:
    """What a key is for: the first letter of its public half."""

    OPERATOR: Final[int] = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT: Final[int] = nkeys.PREFIX_BYTE_ACCOUNT
    USER: Final[int] = nkeys.PREFIX_BYTE_USER


class Signer:
    """A private nkey; only its public half is ever shown."""

    def __init__(self, seed: str) -> None:
        """Take an encoded seed (`S…`).

        Raises:
            ValueError: the text is not a seed.
        """
        try:
            self._pair = nkeys.from_seed(seed.encode("ascii"))
            self.public_key: str = self._pair.public_key.decode("ascii")
        except (nkeys.NkeysError, ValueError):
            message = "not an nkey seed"
            # Without its cause, whose text could quote the seed.
            raise ValueError(message) from None
        self.seed = seed

    def __repr__(self) -> str:
        """Show the public half."""
        return f"<Signer {self.public_key}>"

    @classmethod
    def generate(cls, prefix: int) -> Signer:
        """Make a new key of one `Prefix` from the system's randomness."""
        return cls(nkeys.encode_seed(os.urandom(32), prefix).decode("ascii"))

    def sign_account(self, claims: dict[str, Any], revocations: dict[str, int], issued_s: int) -> str:
        """Return an account's claims with other revocations, issued at a second of the wall clock."""
        nats = {**claims["nats"], "revocations": revocations}
        return self.sign(claims["name"], claims["sub"], nats, issued_s=issued_s)

    def sign(self, name: str, subject: str, nats: dict[str, Any], *, issued_s: int | None = None) -> str:
        """Return a JWT about the key `subject`, issued by this key, now unless told otherwise."""
        body = {
            "iat": int(time.time()) if issued_s is None else issued_s,
            "iss": self.public_key,
            "name": name,
            "nats": {**nats, "version": _VERSION},
            "sub": subject,
        }
        digest = hashlib.sha256(_json(body)).digest()
        body["jti"] = base64.b32encode(digest).decode("ascii").rstrip("=")
        head = _base64url(_json({"typ": "JWT", "alg": "ed25519-nkey"}))
        signed = f"{head}.{_base64url(_json(body))}"
        return f"{signed}.{_base64url(self._pair.sign(signed.encode('ascii')))}"

    def verifies(self, token: str) -> bool:
        """Tell whether this key signed `token`."""
        signed, _, signature = token.rpartition(".")
        try:
            return bool(self._pair.verify(signed.encode("ascii"), _from_base64url(signature)))
        except (nkeys.NkeysError, ValueError):
            return False


def claims_of(token: str, file: Path) -> dict[str, Any]:
    """Return the claims of a JWT without checking its signature; `file` is for the error.

    Raises:
        CredentialError: it is not a NATS JWT of version 2.
    """
    try:
        _, body, _ = token.split(".")
        claims = json.loads(_from_base64url(body))
        named = all(isinstance(claims[key], str) for key in ("iss", "sub"))
        whole = named and claims["nats"]["version"] == _VERSION
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        message = f"{file} does not hold a NATS JWT; restore it or ask for a new one"
        # The cause could quote the token.
        raise CredentialError(message) from None
    return dict(claims)


def creds_text(token: str, user: Signer) -> str:
    """Return the text of a `.creds` file as every NATS client reads it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        "Whoever holds this file acts as its user. Keep it readable by its owner only.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


def split_creds(text: str, file: Path) -> tuple[str, Signer]:
    """Return the JWT and the key of a `.creds` text; `file` is for the error.

    Raises:
        CredentialError: a part is missing, or the key is not the one that the JWT names.
    """
    parts = {match["kind"]: match["text"] for match in _CREDS_PART.finditer(text)}
    token = parts.get("NATS USER JWT", "")
    try:
        user = Signer(parts.get("USER NKEY SEED", ""))
    except ValueError:
        user = None
    if user is None or claims_of(token, file)["sub"] != user.public_key:
        message = f"{file} is not a whole .creds file; restore it or ask for a new one"
        raise CredentialError(message)
    return token, user


def user_claims_of(text: str, file: Path) -> dict[str, Any]:
    """Return the claims in a `.creds` text.

    Raises:
        CredentialError: it is not the credential of a user.
    """
    claims = claims_of(split_creds(text, file)[0], file)
    if claims["nats"].get("type") != "user":
        message = f"{file} is not the credential of a user; ask for a new one"
        raise CredentialError(message)
    return claims


def read_text(file: Path) -> str:
    """Return the text of a file.

    Raises:
        CredentialError: it is missing or cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read {file}: {error.strerror}"
        raise CredentialError(message) from None
    except ValueError:
        message = f"{file} is not text; restore it or ask for a new one"
        raise CredentialError(message) from None


def read_secret(file: Path) -> str:
    """Return the text of a file that only its owner may read.

    Raises:
        CredentialError: it is missing, or others may read it.
    """
    text = read_text(file)
    if file.stat().st_mode & _OTHERS_MAY:
        message = f"{file} can be read by others; run `chmod 600 {file}`"
        raise CredentialError(message)
    return text


def write_secret(file: Path, text: str, *, replace: bool) -> None:
    """Write a file of mode 0600 that appears whole or not at all, and survives a power loss.

    Raises:
        FileExistsError: it exists and `replace` is false.
        OSError: it cannot be written.
    """
    descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            Path(draft).replace(file)
        else:
            # Unlike a rename, a link does not overwrite what somebody else wrote meanwhile.
            file.hardlink_to(draft)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(draft).unlink()
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("utf-8")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
