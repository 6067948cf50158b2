"""``exchange init``: create a venue."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._bus import ServerUnusable, connected
from exchange.cli._output import CliError, Json, note, print_json, print_pairs
from exchange.cli._venue import DEFAULT_DATA, RunFile, operator_of, remember_operator
from exchange.messages.base import CREDIT_DECIMALS

if TYPE_CHECKING:
    from exchange.adapters.credentials import Keyring
    from exchange.adapters.nsc import NscSource
    from exchange.adapters.venue_files import VenueFiles
    from exchange.messages.admin import Genesis, Settings

__all__ = ["init"]

_SUPPLY_CREDITS: Final = 1_000_000_000
_UNIT: Final = 10**CREDIT_DECIMALS


class _Beginning(NamedTuple):
    """Hold what the genesis says; without ``settings`` they are the defaults."""

    supply: int
    replicas: int
    settings: Settings | None


def _read_settings(given: list[str]) -> Settings | None:
    """Return the settings of ``NAME=VALUE``."""
    from msgspec import ValidationError, convert

    from exchange.messages.admin import Settings

    if not given:
        return None
    values: dict[str, str] = {}
    for text in given:
        name, is_pair, value = text.partition("=")
        if not is_pair or name not in Settings.__struct_fields__:
            names = ", ".join(Settings.__struct_fields__)
            message = f"--setting {text!r} is not NAME=VALUE of a setting; there are: {names}"
            raise CliError(message)
        values[name] = value
    try:
        return convert(values, Settings, strict=False)
    except ValidationError as error:
        message = f"--setting: {error}"
        raise CliError(message) from None


def init(
    *,
    data: Annotated[Path, Parameter(env_var="EXCHANGE_DATA")] = DEFAULT_DATA,
    operator: str | None = None,
    supply: Annotated[int, Parameter(validator=Number(gte=1, lte=9_007_199_254))] = _SUPPLY_CREDITS,
    nats: str | None = None,
    creds: Path | None = None,
    journal_creds: Path | None = None,
    replicas: Annotated[int, Parameter(validator=Number(gte=1, lte=5))] = 1,
    setting: Annotated[list[str] | None, Parameter(negative=())] = None,
    nsc_store: Path | None = None,
    nsc_keys: Path | None = None,
    agents_account: str | None = None,
    core_account: str | None = None,
    system_account: str | None = None,
    json: Json = False,
) -> None:
    """Create a venue: its keys, its operator, its journal with the supply of credits.

    Without --nats the venue has its own embedded nats-server. With --nats the journal is created on that
    server, which must trust the venue's keys: `auth.conf` and a whole `nats-server.conf` are written into
    the data directory. Running it again changes nothing and finishes what was left undone.

    With --nsc-store the operator and the accounts are those that somebody made with `nsc`, on a server that
    trusts them. What is missing there is told, with the commands.

    Parameters
    ----------
    data
        Directory of the venue, which will hold secrets (default: exchange-data).
    operator
        Agent id of the first operator (default: operator).
    supply
        Whole credits that will ever exist (default: 1000000000).
    nats
        URL of an external NATS server.
    creds
        Credential of the gateway on that server, tried as well (default: the venue's own).
    journal_creds
        Credential of the journal on that server (default: the venue's own).
    replicas
        How many servers of a cluster keep the journal (default: 1).
    setting
        A limit or default of the rules, as NAME=VALUE, for good; amounts in smallest units. May be repeated.
    nsc_store
        Directory of an operator in nsc's stores, such as ~/.local/share/nats/nsc/stores/ACME.
    nsc_keys
        nsc's keystore (default: `keys` beside `stores`).
    agents_account
        Account of the agents there (default: AGENTS), with a scoped signing key and a user `gateway`.
    core_account
        Account of the journal there (default: CORE), with JetStream and a user `journal`.
    system_account
        System account there (default: SYS), with a user `guard`, without whom nobody is disconnected.
    """
    source = None
    if nsc_store is not None:
        from exchange.adapters.nsc import NscSource

        if nats is None:
            message = "--nsc-store is for a server that trusts that operator: give its URL with --nats"
            raise CliError(message)
        accounts = {
            "agents": agents_account or "AGENTS",
            "core": core_account or "CORE",
            "sys": system_account or "SYS",
        }
        store = nsc_store.absolute()
        source = NscSource(store, (nsc_keys or store.parent.parent / "keys").absolute(), accounts)
    elif nsc_keys or agents_account or core_account or system_account:
        message = "--nsc-keys and the names of accounts say what is in a store of nsc: give it with --nsc-store"
        raise CliError(message)
    beginning = _Beginning(supply * _UNIT, replicas, _read_settings(setting or []))
    asyncio.run(_init(data, operator, beginning, nats, creds, journal_creds, source, json))


async def _init(
    data: Path,
    operator: str | None,
    beginning: _Beginning,
    nats: str | None,
    creds: Path | None,
    journal_creds: Path | None,
    source: NscSource | None,
    json: bool,
) -> None:
    from exchange.adapters.venue_files import VenueFiles

    if nats is None and beginning.replicas != 1:
        message = "--replicas needs a cluster: give its URL with --nats"
        raise CliError(message)
    files = VenueFiles(data)
    lock = RunFile(data)
    lock.acquire()
    try:
        is_new = not files.exists()
        keyring, name = _keys(files, operator, source)
        _write_server_files(files, keyring, nats)
        if nats is None:
            genesis = await _create_embedded(files, keyring, name, beginning)
        else:
            if creds is not None:
                async with connected(nats, creds, "gateway"):
                    pass
            genesis = await _create_external(files, keyring, name, beginning, nats, journal_creds)
        files.finish_creation()
    finally:
        lock.release()
    _warn_of_differences(genesis, name, beginning)
    operator_creds = files.agent_creds(name)
    _report(data, name, operator_creds, genesis.supply if genesis else None, nats, json=json, is_new=is_new)


def _keys(files: VenueFiles, operator: str | None, source: NscSource | None) -> tuple[Keyring, str]:
    """Create or load the keyring, with the operator's credential."""
    from exchange.adapters.credentials import Keyring

    if files.exists():
        keyring = Keyring.load(files.keys)
        keyring.upgrade()
        name = operator_of(files.data)
        if operator is not None and operator != name:
            message = f"{files.data} holds the venue of operator {name!r}, not {operator!r}; choose another --data"
            raise CliError(message)
        files.creds.mkdir(exist_ok=True, mode=0o700)
        keyring.write_agent_creds(name, files.agent_creds(name))
        return keyring, name
    from exchange.cli._names import check_agent_id

    name = check_agent_id(operator or "operator")
    # Before the keys: a venue with keys has its operator's name.
    remember_operator(files.data, name)
    if source is not None:
        from exchange.adapters.nsc import import_nsc

        for text in import_nsc(source, files.keys)[1]:
            note(text)
    return files.create_keyring(name), name


def _write_server_files(files: VenueFiles, keyring: Keyring, nats: str | None) -> None:
    """Write what an external server needs to trust the venue; claims only, no secrets."""
    from exchange.adapters.embedded_server import server_config

    files.write_trust(keyring)
    if nats is None or keyring.is_imported:
        return
    try:
        port = urlsplit(nats.split(",")[0]).port or 4222
    except ValueError:
        message = f"--nats {nats!r} is no URL; write it like nats://127.0.0.1:4222"
        raise CliError(message) from None
    text = server_config(keyring, store_dir=(files.data / "nats-server").absolute(), port=port)
    (files.data / "nats-server.conf").write_text(text, encoding="utf-8")


async def _create_embedded(files: VenueFiles, keyring: Keyring, operator: str, beginning: _Beginning) -> Genesis | None:
    """Create the journal on the embedded server, started for this only."""
    from exchange.adapters.embedded_server import EmbeddedServer

    server = EmbeddedServer(files.nats, keyring, port=None)
    await server.start()
    try:
        return await _create(files, server.url, keyring.journal_creds_path, operator, beginning)
    finally:
        await server.stop()


async def _create_external(
    files: VenueFiles,
    keyring: Keyring,
    operator: str,
    beginning: _Beginning,
    nats: str,
    journal_creds: Path | None,
) -> Genesis | None:
    try:
        if keyring.is_imported:
            # The server is the judge of what was made elsewhere.
            for path, name in ((keyring.gateway_creds_path, "gateway"), (files.agent_creds(operator), operator)):
                async with connected(nats, path, name):
                    pass
        return await _create(files, nats, journal_creds or keyring.journal_creds_path, operator, beginning)
    except ServerUnusable as error:
        if keyring.is_imported:
            message = f"{error}\nIf the server does not know the accounts yet: nsc push --all; then run this again."
            raise CliError(message) from error
        message = (
            f"{error}\nThe keys are there, the journal is not yet. Start a server that trusts them, with "
            f"{files.data / 'nats-server.conf'} or by including {files.data / 'auth.conf'} in your own "
            "configuration; then run the same command again."
        )
        raise CliError(message) from error


async def _create(files: VenueFiles, url: str, creds: Path, operator: str, beginning: _Beginning) -> Genesis | None:
    """Create the journal unless it is there, and return the genesis that it begins with."""
    from nats.errors import Error as NatsError

    from exchange.adapters.fenced_log import NoAnswer
    from exchange.daemon.creation import create_venue

    try:
        async with connected(url, creds) as client:
            await _expect_journal(files, client)
            await create_venue(
                client,
                operator=operator,
                supply=beginning.supply,
                settings=beginning.settings,
                replicas=beginning.replicas,
            )
            return await _read_genesis(client)
    except (NatsError, NoAnswer) as error:
        message = f"{url} does not create the journal: {getattr(error, 'description', None) or error!r}"
        raise CliError(message) from error


async def _expect_journal(files: VenueFiles, client: Any) -> None:
    """Refuse to begin a journal where there was one: of what it had acknowledged nothing could be found any more."""
    from exchange.adapters.journal import Journal, JournalMissing
    from exchange.daemon.verify import read_high_water

    mark = read_high_water(files.high_water)
    if mark is None:
        return
    journal = Journal(client)
    try:
        await journal.open()
        if await journal.last_index():
            return
    except JournalMissing:
        pass
    message = (
        f"this venue's journal is gone: record {mark[0]} was acknowledged here, as {files.high_water} notes. Put the "
        f"server's data back; or, if the loss is accepted, let `exchange restore` make a venue of what is left"
    )
    raise CliError(message)


async def _read_genesis(client: Any) -> Genesis | None:
    """Return the genesis; None of a journal that was trimmed, which has been a venue for long."""
    from exchange.adapters.journal import Journal
    from exchange.adapters.records import JournalCorrupt, decode_record
    from exchange.daemon.host import decode_batch
    from exchange.messages.admin import Genesis

    journal = Journal(client)
    if await journal.first_index() > 1:
        return None
    body = b""
    # To its end, not only to its first record: that closes it while the connection is open.
    async for _, stored in journal.read(1, 1):
        body = stored
    try:
        command = decode_batch(decode_record(body)).submissions[0][1]
    except (JournalCorrupt, IndexError) as error:
        message = f"the first record of the journal cannot be read: {error}; `exchange verify` tells more"
        raise CliError(message) from error
    if isinstance(command, Genesis):
        return command
    message = "the journal does not begin with a genesis; `exchange verify` tells more"
    raise CliError(message)


def _warn_of_differences(genesis: Genesis | None, operator: str, beginning: _Beginning) -> None:
    """Say where an existing venue is not what was asked for now."""
    if genesis is None:
        note("the venue exists, and its journal was trimmed, so what it began with cannot be compared")
        return
    if genesis.operator != operator:
        message = (
            f"the journal was created for operator {genesis.operator!r}, and this data directory is for "
            f"{operator!r}; use the data directory that belongs to it, or a server without a journal"
        )
        raise CliError(message)
    if beginning.settings is not None and genesis.settings != beginning.settings:
        note("the venue exists with other settings; those cannot be changed")
    supply = beginning.supply
    if genesis.supply != supply and supply != _SUPPLY_CREDITS * _UNIT:
        note(f"the venue exists with {genesis.supply // _UNIT} credits; that cannot be changed")


def _report(
    data: Path, operator: str, creds: Path, supply: int | None, nats: str | None, *, json: bool, is_new: bool
) -> None:
    facts = {
        "data": str(data),
        "operator": operator,
        "operator_creds": str(creds),
        "supply": None if supply is None else supply // _UNIT,
        "auth_conf": str(data / "auth.conf"),
        "created": is_new,
    }
    if json:
        print_json(facts)
        return
    serve = f"exchange serve --data {data}" + (f" --nats {nats}" if nats else "")
    print_pairs(
        [
            ("venue", f"{data} ({'created' if is_new else 'exists'})"),
            ("operator", operator),
            ("credential", creds),
            ("supply", None if supply is None else f"{supply // _UNIT:,} credits"),
            ("trust", data / "auth.conf"),
            ("next", serve),
        ]
    )
