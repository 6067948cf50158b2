"""Assemble the commands, and turn what goes wrong into messages and exit codes.

Exit codes: 0 done, 1 it did not work, 2 the command line was wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from exchange.adapters.logging import configure_logging
from exchange.build_info import CORE, VERSION
from exchange.cli import _agents as agents
from exchange.cli import _assets as assets
from exchange.cli import _attest as attesting
from exchange.cli import _contracts as contracts
from exchange.cli import _debts as debts
from exchange.cli import _disputes as disputes
from exchange.cli import _externalities as externalities
from exchange.cli import _goods as goods
from exchange.cli import _leases as leases
from exchange.cli import _markets as markets
from exchange.cli import _modules as modules
from exchange.cli import _packages as packages
from exchange.cli import _parameters as parameters
from exchange.cli import _predictions as predictions
from exchange.cli import _proposals as proposals
from exchange.cli import _settlements as settlements
from exchange.cli import _tasks as tasks
from exchange.cli._demo import demo
from exchange.cli._doctor import doctor
from exchange.cli._init import init
from exchange.cli._output import CliError, complain
from exchange.cli._restore import restore
from exchange.cli._serve import serve
from exchange.cli._standing import liens, reputation
from exchange.cli._status import status
from exchange.cli._verify import verify
from exchange.cli._watch import watch

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "main"]

_FAILED: Final = 1
_USAGE: Final = 2
_INTERRUPTED: Final = 130


_PARAMETERS: Final = Parameter(negative="", show_default=False)
"""The help texts tell defaults in words, and no flag needs an opposite."""


def _assemble() -> App:
    root = App(
        name="exchange",
        help=(
            "Run and use a venue: markets for autonomous agents on one conserved ledger.\n\n"
            "A venue lives in a data directory: `exchange init` creates it, `exchange serve` runs it, "
            "`exchange agent add` and `exchange market add` bring it to life. "
            "`exchange demo` shows all of it in a minute."
        ),
        help_format="markdown",
        version=f"{VERSION} ({CORE} core)",
        default_parameter=_PARAMETERS,
    )
    for command in (init, serve, status, watch, verify, doctor, restore, demo, reputation, liens):
        root.command(command)
    groups = (
        ("agent", "Admit agents and say what they may do.", agents),
        ("asset", "Register what is traded, and issue units of it.", assets),
        ("market", "Open, list, halt and resume markets.", markets),
        ("task", "Post tasks, bid for them, and see why who won has won.", tasks),
        ("settlement", "See what is to be delivered, deliver and confirm it.", settlements),
        ("lease", "See who holds what, until when.", leases),
        ("contract", "See conditional contracts.", contracts),
        ("package", "Auction several things at once, and bid for packages of them.", packages),
        ("good", "Propose public goods, pledge for them, and confirm what is delivered.", goods),
        ("debt", "Take on technical debt, sell it, repay it.", debts),
        ("module", "Register, sell, auction and let modules, and see whose they are.", modules),
        ("externality", "Declare changes, report what agents do to others, see what it costs.", externalities),
        ("prediction", "Open prediction markets, trade shares of outcomes, and say what happened.", predictions),
        ("dispute", "See disputes, and how they were decided.", disputes),
        ("attest", "Tell the venue what a tool found out.", attesting),
        ("parameter", "See what owners may vote on.", parameters),
        ("proposal", "Propose changes and what the public fund is for, and vote.", proposals),
    )
    for name, text, module in groups:
        group = App(name=name, help=text, version_flags=())
        for member in module.__all__:
            if member.endswith("_"):
                group.command(getattr(module, member), name=member.rstrip("_").replace("_", "-"))
        root.command(group)
    return root


app: Final = _assemble()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    # Only what the user must know; `serve` configures its own.
    configure_logging("error")
    try:
        result = app(
            sys.argv[1:] if arguments is None else list(arguments),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        complain(f"{error}\nSee `{_help_for(error)}`.")
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except Exception as error:
        message = _explain(error)
        if message is None:
            raise
        complain(message)
        return _FAILED
    return result if isinstance(result, int) else 0


def _help_for(error: CycloptsError) -> str:
    chain = " ".join(error.command_chain or ())
    return f"exchange {chain} --help" if chain else "exchange --help"


def _explain(error: Exception) -> str | None:
    """Return what to tell a user about an error, or None for a bug of ours, which shows itself."""
    if isinstance(error, CliError):
        return str(error)
    # Imported only now: most commands end well, and most others by what the SDK raises.
    from agent_sdk.errors import ExchangeError

    if isinstance(error, ExchangeError):
        return str(error) or type(error).__name__
    from exchange.adapters.bus import BusError
    from exchange.adapters.credentials import CredentialError
    from exchange.adapters.embedded_server import EmbeddedServerError
    from exchange.adapters.journal import JournalMissing, Replaced
    from exchange.config import ConfigError
    from exchange.coupling import AttestError
    from exchange.daemon import DaemonError

    expected = (
        BusError, CredentialError, EmbeddedServerError, JournalMissing, Replaced, ConfigError, DaemonError, AttestError,
    )  # fmt: skip
    if isinstance(error, expected):
        return str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None
