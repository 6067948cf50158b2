"""Settings are read from file, environment and flags, and wrong ones are named with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.config import Config, ConfigError, load_config

WRONG_FILES = [
    # text of the file, line, what the message must tell
    ("[nats]\nport = 'x'\n", 2, ("nats.port", "'x'", "int")),
    ("[nats]\n\nport = 70000\n", 3, ("nats.port", "70000", "65535")),
    ("# comment\n[metrics]\nprot = 1\n", 3, ("metrics.prot", "did you mean metrics.port?")),
    ("[metrix]\nport = 1\n", 1, ("metrix", "did you mean metrics?")),
    ("[log]\nlevel = 'loud'\n", 2, ("log.level", "'loud'", "debug, info, warning, error")),
    ("data = 'x'\n[nats]\nurl = 4\n", 3, ("nats.url", "4", "str")),
    ("nats = { port = -1 }\n", 1, ("nats.port", "-1", ">= 0")),
    ("nats.port = 'y'\n", 1, ("nats.port", "'y'", "int")),
    ("nats = 3\n", 1, ("nats", "is a section", "[nats]")),
    ("data = 3\n", 1, ("data", "3", "path")),
    ("[limits]\ncommands_per_s = 0\n", 2, ("limits.commands_per_s", "0", "1 or more")),
    ("[limits]\ncommands_per_s = 1.5\n", 2, ("limits.commands_per_s", "1.5", "int")),
    ("[nats]\nport = \n", 2, ("not valid TOML",)),
    ("[nats\n", 1, ("not valid TOML",)),
    ("zzz = 1\n", 1, ("unknown setting zzz", "known are data, nats")),
]


@pytest.mark.parametrize(("text", "line", "told"), WRONG_FILES)
def test_a_wrong_file_is_told_with_file_line_key_and_expectation(
    tmp_path: Path, text: str, line: int, told: tuple[str, ...]
) -> None:
    """Whoever made the mistake reads where it is and what was expected."""
    file = tmp_path / "exchange.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert message.startswith(f"{file}:{line}: ")
    for part in told:
        assert part in message


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("EXCHANGE_NATS__PORT", "x", ("nats.port", "'x'", "int")),
        ("EXCHANGE_NATS__PROT", "1", ("nats.prot", "did you mean nats.port?")),
        ("EXCHANGE_METRICS__ENABLED", "perhaps", ("metrics.enabled", "'perhaps'", "bool")),
        ("EXCHANGE_LOG__FORMAT", "xml", ("log.format", "auto, console, json")),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, told: tuple[str, ...]) -> None:
    """A mistake in the environment names the variable."""
    with pytest.raises(ConfigError) as caught:
        load_config(env={variable: value})
    for part in (variable, *told):
        assert part in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A path that does not exist is no traceback."""
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file"):
        load_config(tmp_path / "absent.toml")


def test_later_sources_win(tmp_path: Path) -> None:
    """Flags win over the environment, and that over the file."""
    file = tmp_path / "exchange.toml"
    file.write_text("data = 'venue'\n[nats]\nport = 1\nurl = 'nats://file'\nhost = 'h'\n[metrics]\nport = 2\n")
    env = {"NATS_URL": "nats://plain", "EXCHANGE_NATS__PORT": "3", "EXCHANGE_METRICS__ENABLED": "false", "X": "y"}
    config = load_config(file, env, {"nats.port": 4, "metrics.port": None})
    assert config.data == tmp_path / "venue"
    assert config.nats.port == 4
    assert config.nats.url == "nats://plain"
    assert config.nats.host == "h"
    assert config.metrics.port == 2
    assert not config.metrics.enabled


def test_the_more_precise_variable_wins_over_nats_url() -> None:
    """NATS_URL is everybody's; EXCHANGE_NATS__URL is meant for this program."""
    env = {"NATS_URL": "nats://everybody", "EXCHANGE_NATS__URL": "nats://mine"}
    assert load_config(env=env).nats.url == "nats://mine"


def test_nothing_given_is_the_defaults() -> None:
    """Without any source the settings are those that the structs say."""
    env = {"EXCHANGE_CREDS": "alice.creds", "EXCHANGE_NATS_HOST": "for deploy/", "NATS_URL": ""}
    assert load_config(env=env) == Config()
