"""Encrypted connections to NATS: for the daemon, the command line and the SDK alike."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["TlsFiles", "TlsFilesError", "explain_tls"]

_VARIABLES: Final = ("NATS_CA", "NATS_CERT", "NATS_KEY")


class TlsFilesError(Exception):
    """Raised when a file for an encrypted connection is missing or not what it should be; the text says which."""


class TlsFiles(NamedTuple):
    """Name the files of an encrypted connection; without any it is as the server wants it.

    With ``ca`` the server must speak TLS and show a certificate of that authority; ``cert`` and ``key`` are shown
    to a server that asks who connects (mutual TLS).
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def from_env(cls) -> TlsFiles:
        """Return what the variables of the ``nats`` tool say: NATS_CA, NATS_CERT and NATS_KEY."""
        return cls(*(Path(os.environ[name]) if os.environ.get(name) else None for name in _VARIABLES))

    def context(self) -> ssl.SSLContext | None:
        """Return what a client connects with, None without files.

        Raises:
            TlsFilesError: a file is missing, damaged, or does not fit the other.
        """
        if self == TlsFiles():
            return None
        if (self.cert is None) != (self.key is None):
            message = "a client's certificate and its key belong together: give both or neither"
            raise TlsFilesError(message)
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            message = f"cannot read the certificate authority {self.ca}: {_said(error)}"
            raise TlsFilesError(message) from None
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except (OSError, ssl.SSLError) as error:
                message = f"cannot use the certificate {self.cert} with the key {self.key}: {_said(error)}"
                raise TlsFilesError(message) from None
        return context


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "it is not a PEM file of the right kind, or they do not belong together"
    return getattr(error, "strerror", None) or str(error)


def explain_tls(error: BaseException) -> str | None:
    """Return what to tell a user about an error of an encrypted connection, or None of another."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); give the authority that signed it (NATS_CA)"
    if isinstance(error, ssl.SSLError):
        return (
            f"no encrypted connection comes about ({error.reason or error}); "
            "if the server asks for a certificate, give one (NATS_CERT, NATS_KEY)"
        )
    return None
