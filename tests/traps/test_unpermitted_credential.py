"""A user's JWT that was minted without permissions. ``tests/adapters/test_permissions.py`` proves that ours is mute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.adapters import credentials
from exchange.adapters._jwt import Prefix, Signer, creds_text
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer
from tests.traps.support import plain_client

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import pytest

UNLIMITED = {"subs": -1, "data": -1, "payload": -1}


async def test_without_default_permissions_it_may_do_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap, in an account as ``nsc`` makes it: such a user hears and says whatever there is."""
    plain = credentials._account_claims

    def without_defaults(scoped_key: str) -> dict[str, dict[str, Any]]:
        claims = plain(scoped_key)
        del claims["agents"]["default_permissions"]
        return claims

    with monkeypatch.context() as patch:
        patch.setattr(credentials, "_account_claims", without_defaults)
        keyring = Keyring.create(tmp_path / "keys")
    user = Signer.generate(Prefix.USER)
    account = Signer((keyring.path / "agents.nk").read_text().strip())
    creds = tmp_path / "mallory.creds"
    creds.write_text(creds_text(account.sign("mallory", user.public_key, {"type": "user", **UNLIMITED}), user))
    server = EmbeddedServer(tmp_path / "nats", keyring)
    await server.start()
    try:
        async with plain_client(server.url, user_credentials=str(creds)) as mallory:
            everything = await mallory.subscribe(">")
            await mallory.publish("exchange.v1.cmd.alice.orders", b"as alice")
            assert (await everything.next_msg(timeout=5)).data == b"as alice"
    finally:
        await server.stop()
