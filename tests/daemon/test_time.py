"""A daemon leads only by a clock that can be right, or where an operator says that it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from exchange.adapters.journal import Journal, create_stream
from exchange.config import ClockSettings
from exchange.daemon import Daemon, DaemonError, Host
from exchange.engine import genesis_batch
from tests.daemon.support import External, running_daemon, wait_until
from tests.daemon.test_standby import settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from exchange.config import Config

HOUR_US = 3_600_000_000
JOURNAL_TIMES = {"a day ago": -24 * HOUR_US, "in two hours": 2 * HOUR_US}


@pytest.fixture
async def external(tmp_path: Path) -> AsyncIterator[External]:
    """Run a server that no daemon owns."""
    external = External(tmp_path)
    await external.start()
    yield external
    await external.stop()


async def journal_of(external: External, after_us: int, *, epochs: int = 1) -> int:
    """Write the journal of a venue that was led at another time; return that time."""
    time_us = time.time_ns() // 1_000 + after_us
    host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic)
    genesis = genesis_batch("operator", time_us)
    async with external.journal() as client:
        await create_stream(client)
        journal = Journal(client)
        await journal.open()
        steps = [host.apply(genesis.submissions, [], time_us, 0)]
        steps += [host.begin_epoch(time_us) for _ in range(epochs)]
        for step in steps:
            await journal.append(step.batch.index, step.body)
    return time_us


def accepting(config: Config) -> Config:
    """Return the settings of a daemon that was told that the time is right."""
    return msgspec.structs.replace(config, clock=ClockSettings(accept_time=True))


@pytest.mark.parametrize("when", JOURNAL_TIMES)
async def test_it_starts_only_with_the_time_accepted(external: External, when: str) -> None:
    """It says both times and what to do; with the flag it leads, and venue time does not go back."""
    journal_us = await journal_of(external, JOURNAL_TIMES[when])
    config = settings(external, "daemon", standby=False)
    with pytest.raises(DaemonError, match=r"the journal's last record is of .* this machine's clock, .*--accept-time"):
        await Daemon(config).start()
    async with running_daemon(accepting(config)) as setting:
        now_us = time.time_ns() // 1_000
        assert journal_us < setting.engine.time_us
        assert abs(setting.engine.time_us - max(journal_us, now_us)) < 10_000_000
    if JOURNAL_TIMES[when] < 0:
        async with running_daemon(config) as setting:
            assert setting.engine.epoch == 3


async def test_a_word_in_the_directory_counts_once(external: External) -> None:
    """For where something else starts the daemon: whoever leads takes it away."""
    await journal_of(external, 2 * HOUR_US)
    config = settings(external, "daemon", standby=False)
    config.data.mkdir()
    permit = config.data / "accept-time"
    permit.touch()
    async with running_daemon(config):
        assert not permit.exists()
    with pytest.raises(DaemonError, match="accept-time"):
        await Daemon(config).start()


async def test_a_venue_that_nobody_led_is_not_asked(external: External) -> None:
    """It may be created long before it is opened."""
    await journal_of(external, -24 * HOUR_US, epochs=0)
    async with running_daemon(settings(external, "daemon", standby=False)) as setting:
        assert setting.engine.epoch == 1


@pytest.mark.parametrize("when", JOURNAL_TIMES)
async def test_a_standby_stays_following(external: External, when: str) -> None:
    """It shows why in its metrics, and takes over as soon as it may."""
    await journal_of(external, JOURNAL_TIMES[when])
    config = settings(external, "daemon", standby=True)
    async with running_daemon(config) as setting:
        daemon = setting.daemon

        def shown(name: str) -> float | None:
            assert daemon.metrics is not None
            return daemon.metrics.registry.get_sample_value(name)

        await wait_until(lambda: shown("exchange_clock_refused") == 1, "it does not look at its clock")
        assert not daemon.is_leading
        (config.data / "accept-time").touch()
        await wait_until(lambda: daemon.is_leading, "it does not take over")
        assert shown("exchange_clock_refused") == 0
        offset_s = shown("exchange_clock_offset_seconds")
        assert offset_s is not None
        assert abs(offset_s - max(JOURNAL_TIMES[when], 0) / 1e6) < 5
