"""Encrypted connections: a real daemon and server, certificates made for the test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trustme

from agent_sdk import ConnectionFailed, CredentialsError, connect
from exchange.adapters import bus
from exchange.daemon import Daemon, DaemonError
from exchange.tls import TlsFiles, TlsFilesError
from tests.cli.program import Serving, environment, run
from tests.daemon.support import WAIT_S, Setting, config, running_daemon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exchange.config import Config


class Files:
    """Hold an authority, a server's certificate of it, and a client's; and another authority that nobody trusts."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.ca, self.other_ca = directory / "ca.pem", directory / "other.pem"
        self.server, self.server_key = directory / "server.pem", directory / "server.key"
        self.client, self.client_key = directory / "client.pem", directory / "client.key"
        self.strange, self.strange_key = directory / "strange.pem", directory / "strange.key"
        authority, other = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        other.cert_pem.write_to_path(self.other_ca)
        for issued, cert, key in (
            (authority.issue_cert("127.0.0.1"), self.server, self.server_key),
            (authority.issue_cert("exchange@example.org"), self.client, self.client_key),
            (other.issue_cert("mallory@example.org"), self.strange, self.strange_key),
        ):
            issued.cert_chain_pems[0].write_to_path(cert)
            issued.private_key_pem.write_to_path(key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Make certificates."""
    return Files(tmp_path / "tls")


def settings(directory: Path, files: Files, *, mutual: bool = False) -> Config:
    """Return the settings of a daemon whose embedded server encrypts, and with ``mutual`` asks for certificates."""
    tls: dict[str, Any] = {"tls_ca": files.ca, "server_cert": files.server, "server_key": files.server_key}
    if mutual:
        tls |= {"server_client_ca": files.ca, "tls_cert": files.client, "tls_key": files.client_key}
    return config(directory / "venue", **tls)


@pytest.fixture
async def venue(tmp_path: Path, files: Files) -> AsyncIterator[Setting]:
    """Run a venue that encrypts."""
    async with running_daemon(settings(tmp_path, files)) as setting:
        yield setting


async def test_everything_works_encrypted(venue: Setting, files: Files) -> None:
    """Daemon, guard and SDK speak TLS; somebody who does not is shown the door."""
    async with connect(venue.url, venue.creds("operator"), ca=files.ca) as operator:
        await operator.admin.register_asset("cpu")
        assert [info.id for info in await operator.agents()] == ["operator"]
    host, _, port = venue.url.removeprefix("nats://").rpartition(":")
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        assert b'"tls_required":true' in await reader.readline()
        writer.write(b"CONNECT {}\r\nPING\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"PONG" not in await reader.read()
        writer.close()


async def test_a_server_of_another_authority_is_not_spoken_to(venue: Setting, files: Files) -> None:
    """The wrong authority, and none where the system's do not know it, are said as what they are."""
    for ca in (files.other_ca, None):
        with pytest.raises(ConnectionFailed, match=r"certificate is not trusted .*NATS_CA"):
            async with connect(venue.url, venue.creds("operator"), ca=ca, timeout=5):
                pass


async def test_a_daemon_says_what_is_wrong_with_a_certificate(venue: Setting, files: Files) -> None:
    """The daemon's connections try again for a while; in the end they say so in the same words as the SDK."""
    with pytest.raises(bus.BusError, match=r"certificate is not trusted .*NATS_CA") as raised:
        await bus.connect(venue.url, venue.creds("operator"), "gateway", tls=TlsFiles(files.other_ca))
    assert "SSL" not in str(raised.value)


async def test_a_server_for_another_name_is_not_spoken_to(venue: Setting, files: Files) -> None:
    """A certificate of the right authority for another host does not count."""
    creds = venue.creds("operator")
    port = venue.url.rpartition(":")[2]
    with pytest.raises(ConnectionFailed, match="certificate is not trusted"):
        async with connect(f"nats://localhost:{port}", creds, ca=files.ca, timeout=5):
            pass


@pytest.mark.parametrize("how", ["ca", "scheme", "context"])
async def test_nothing_goes_in_the_clear_where_tls_was_asked_for(tmp_path: Path, files: Files, how: str) -> None:
    """A server that does not offer TLS, or somebody in between who says so, gets not even the credential."""
    async with running_daemon(config(tmp_path / "venue")) as setting:
        url = setting.url.replace("nats://", "tls://") if how == "scheme" else setting.url
        given: dict[str, Any] = {"ca": {"ca": files.ca}, "scheme": {}}.get(how) or {}
        if how == "context":
            given = {"tls": ssl.create_default_context(cafile=files.ca)}
        with pytest.raises(ConnectionFailed, match="does not speak TLS"):
            async with connect(url, setting.creds("operator"), timeout=5, **given):
                pass


async def test_the_daemon_does_not_lead_over_a_connection_in_the_clear(tmp_path: Path, files: Files) -> None:
    """Its settings ask for TLS, the server does not speak it: the start fails and says why."""
    daemon = Daemon(config(tmp_path / "venue", tls_ca=files.ca))
    with pytest.raises(DaemonError, match="does not speak TLS"):
        await daemon.start()


async def test_mutual_tls_takes_nobody_without_a_certificate(tmp_path: Path, files: Files) -> None:
    """A certificate of the clients' authority gets in; none, and one of another authority, does not."""
    async with running_daemon(settings(tmp_path, files, mutual=True)) as setting:
        creds = setting.creds("operator")
        async with connect(setting.url, creds, ca=files.ca, cert=files.client, key=files.client_key) as operator:
            assert (await operator.agents())[0].state == "active"
        for cert, key in ((None, None), (files.strange, files.strange_key)):
            with pytest.raises(ConnectionFailed):
                async with connect(setting.url, creds, ca=files.ca, cert=cert, key=key, timeout=5):
                    pass


def test_files_that_cannot_be_used_are_named(files: Files, tmp_path: Path) -> None:
    """A missing file, one that is something else, and a key of another certificate are told as such."""
    garbage = tmp_path / "garbage"
    garbage.write_text("garbage")
    for given, said in (
        (TlsFiles(ca=tmp_path / "none"), "cannot read the certificate authority .*none: No such file"),
        (TlsFiles(ca=garbage), "cannot read the certificate authority .*garbage: it is not a PEM file"),
        (TlsFiles(cert=files.client), "belong together"),
        (TlsFiles(cert=files.client, key=files.server_key), "cannot use the certificate"),
    ):
        with pytest.raises(TlsFilesError, match=said):
            given.context()


async def test_the_sdk_and_the_daemon_say_which_file(files: Files, tmp_path: Path) -> None:
    """Neither shows a traceback of ssl."""
    async with running_daemon(settings(tmp_path, files)) as setting:
        with pytest.raises(CredentialsError, match="cannot read the certificate authority"):
            async with connect(setting.url, setting.creds("operator"), ca=tmp_path / "none"):
                pass
    broken = settings(tmp_path, files)
    broken = msgspec.structs.replace(broken, nats=msgspec.structs.replace(broken.nats, tls_ca=tmp_path / "none"))
    with pytest.raises(DaemonError, match="cannot read the certificate authority"):
        await Daemon(broken).start()
    half = config(tmp_path / "other", server_cert=files.server)
    with pytest.raises(DaemonError, match=r"server_cert and nats\.server_key belong together"):
        await Daemon(half).start()


def test_the_command_line_finds_the_files(files: Files, tmp_path: Path) -> None:
    """Beside a daemon that runs here nothing need be said; from elsewhere NATS_CA says it."""
    toml = tmp_path / "exchange.toml"
    toml.write_text(
        f'[nats]\ntls_ca = "{files.ca}"\nserver_cert = "{files.server}"\nserver_key = "{files.server_key}"\n'
    )
    with Serving(tmp_path / "venue", "--config", str(toml)) as serving:
        assert run("agent", "add", "alice", "--owner", "acme", "--data", serving.data).returncode == 0
        assert run("agent", "rotate", "alice", "--data", serving.data).returncode == 0
        assert run("verify", "--data", serving.data).returncode == 0
        afar = ("agent", "list", "--nats", serving.facts["url"], "--creds", serving.facts["operator_creds"])
        away = ("--data", str(tmp_path / "none"))
        done = run(*afar, *away)
        assert done.returncode == 1
        assert "certificate is not trusted" in done.stderr
        assert run(*afar, *away, env=environment(NATS_CA=str(files.ca))).returncode == 0
