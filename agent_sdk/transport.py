"""Define the seam between this SDK and whatever carries its messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["ConnectionEvent", "ConnectionKind", "MessageCallback", "Transport", "Unsubscribe"]

ConnectionKind = Literal["connected", "disconnected", "reconnected", "closed", "permission_denied", "dropped"]

MessageCallback = Callable[[str, bytes], None]
"""Takes the subject and the payload of a message."""

Unsubscribe = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """Tell what happened to a connection.

    ``permission_denied`` names the subject that the server refused. ``dropped`` says that received
    messages on ``subject`` (on any, if empty) were lost on this side.
    """

    kind: ConnectionKind
    subject: str = ""
    detail: str = ""


class Transport(Protocol):
    """Carry messages between one agent and the venue; at most once, and in order while connected."""

    @property
    def agent(self) -> str:
        """The id of the agent, which is part of its subjects."""
        ...

    async def open(self) -> None:
        """Connect.

        Raises:
            ConnectionFailed: No server answers.
            CredentialsError: The server does not accept the credentials.

        """
        ...

    async def close(self) -> None:
        """Close the connection; a second call does nothing."""
        ...

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Send one message; that it returns does not mean that anybody received it.

        Raises:
            NotSent: The message was certainly not sent.

        """
        ...

    async def subscribe(self, subject: str, callback: MessageCallback) -> Unsubscribe:
        """Call ``callback`` with each message on ``subject``, also after reconnects; return how to end that.

        The callback is synchronous and never raises. An empty payload on a reply subject says that
        nobody listens where the request went: it was certainly not received.
        """
        ...

    def on_connection(self, callback: Callable[[ConnectionEvent], None]) -> None:
        """Call ``callback`` with whatever happens to the connection; it never raises."""
        ...
