"""Issue debts, let interest accrue, and wind up: family ``debts``."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.debts.invariants import broken_invariants
from exchange.mechanisms.debts.issuing import check_issue
from exchange.mechanisms.debts.overdue import Overdue
from exchange.mechanisms.debts.paydowns import Paydowns
from exchange.mechanisms.debts.queries import Queries
from exchange.mechanisms.debts.repaying import Repaying
from exchange.mechanisms.debts.token import Token, credits_for
from exchange.mechanisms.debts.trading import Trading
from exchange.mechanisms.facts import (
    AgentEnded,
    DisputeDecided,
    DisputeOpened,
    DisputeTerms,
    SwitchLapsed,
    TaskFinal,
    TaskOpened,
)
from exchange.mechanisms.facts import DebtIssued as IssuedFact
from exchange.mechanisms.shares import largest_remainder
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.base import Command, Event, Outcome, Query, Result
from exchange.messages.debts import (
    AuctionDebt,
    BidOnDebt,
    ChooseInterest,
    ConfirmRepayment,
    DebtEnded,
    DebtInterestDue,
    DebtIssued,
    DebtMatured,
    DebtOutcome,
    DebtProposed,
    DebtSigned,
    DebtState,
    DeclineDebt,
    EndReason,
    IssueDebt,
    OfferDebt,
    PaydownOutcome,
    RepayDebt,
    SignDebt,
    TakeDebt,
    TransferReason,
    WithdrawDebtBid,
    WithdrawSale,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Debts"]

_REMEMBERED: Final = 1_000
"""So many ended debts can still be asked for."""

_PAGE: Final = 100
"""So many debts of an agent that is gone are looked after in one batch: orders come in between."""

_BP: Final = 10_000
_MILLI_HOUR_US: Final = 3_600_000
"""What metrics count work in."""

_LIVE_STATES: Final = ("proposed", "open", "overdue", "paydown")

_ENDS: Final[dict[EndReason, DebtState]] = {
    "repaid": "repaid",
    "paid_down": "paid_down",
    "written_off": "written_off",
    "unsigned": "lapsed",
    "declined": "lapsed",
    "revoked": "lapsed",
    "dead_man": "lapsed",
}

Violation = tuple[Reason, str]


class Debts(Mechanism):
    """Keep every debt from its proposal until nothing is owed on it."""

    family: ClassVar[str] = "debts"
    summary: ClassVar[str] = "technical debt: hours owed with interest, sold at a negative price, paid down in a crisis"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.live: dict[int, Token] = {}
        self.ended: dict[int, Token] = {}
        self.by_agent: dict[str, dict[int, None]] = {}
        """The debts that an agent has to do with."""
        self.issued: dict[str, int] = {}
        """How many debts that have not ended each owner has issued."""
        self.outstanding = 0
        """The hours owed on all debts."""
        self.overdue = Overdue()
        self.page = _PAGE
        """How many debts of an agent that is gone are looked after in one batch."""
        self.last_number = 0
        self.tally = Tally(
            Figure("issued_total", "Debts that began to exist."),
            Figure("ended_total", "Debts that ended.", ("outcome",), words(EndReason)),
            Figure("interest_seconds_total", "Interest that fell due, as work.", ("how",), (("accrued",), ("paid",))),
            Figure("interest_paid_credits_total", "Interest paid to beneficiaries, in whole credits."),
            Figure("transfers_total", "Debts that another took over.", ("reason",), words(TransferReason)),
            Figure("transfer_pay_credits_total", "What was paid for taking debts over, in whole credits."),
            Figure("repaid_seconds_total", "Work repaid and confirmed."),
            Figure("repayments_refused_total", "Claims of repayment that did not count."),
            Figure("crises_total", "Daily checks that found a crisis."),
            Figure("paydowns_total", "Paydowns that ended.", ("outcome",), words(PaydownOutcome)),
            Figure("paydown_credits_total", "What debtors and beneficiaries paid for paydowns, in whole credits."),
        )
        self.trading = Trading(self)
        self.repaying = Repaying(self)
        self.paydowns = Paydowns(self)
        self._queries = Queries(self)
        context.react(AgentEnded, self._wind_up)
        context.react(SwitchLapsed, self._withdraw)
        context.react(DisputeOpened, self.repaying.freeze)
        context.react(DisputeDecided, self.repaying.decide)
        context.react(TaskOpened, self.paydowns.note_task)
        context.react(TaskFinal, self.paydowns.finish)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family: whoever is stopped may still repay and confirm."""
        return {
            IssueDebt: CommandRule(self.issue, "trader", opens=True),
            SignDebt: CommandRule(self.sign, None, opens=True),
            DeclineDebt: CommandRule(self.decline, None, opens=False),
            ChooseInterest: CommandRule(self.choose_interest, None, opens=False),
            OfferDebt: CommandRule(self.trading.offer, "trader", opens=True),
            AuctionDebt: CommandRule(self.trading.auction, "trader", opens=True),
            WithdrawSale: CommandRule(self.trading.withdraw, None, opens=False),
            TakeDebt: CommandRule(self.trading.take, "trader", opens=True),
            BidOnDebt: CommandRule(self.trading.bid, "trader", opens=True),
            WithdrawDebtBid: CommandRule(self.trading.withdraw_bid, None, opens=False),
            RepayDebt: CommandRule(self.repaying.claim, None, opens=False),
            ConfirmRepayment: CommandRule(self.repaying.confirm, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            "debts.lapse": self._lapse,
            "debts.accrue": self._accrue,
            "debts.mature": self._mature,
            "debts.close": self.trading.close,
            "debts.expire_offer": self.trading.expire,
            "debts.end_claim": self.repaying.end_by_silence,
            "debts.check": self.paydowns.check,
            "debts.end_collecting": self.paydowns.end_collecting,
            "debts.wind_up": self._wind_up_page,
            "debts.withdraw": self._withdraw_page,
        }

    # ── issuing ─────────────────────────────────────────────────────────────────────────────────

    def issue(self, agent: AgentRecord, command: IssueDebt) -> Outcome:
        """Propose a debt to its beneficiaries."""
        context, settings = self.context, self.context.settings
        problem = check_issue(context, agent, command)
        if problem is not None:
            return context.reject(command, *problem)
        cap = settings.max_open_debts
        if self.issued.get(agent.owner, 0) >= cap:
            return context.reject(command, Reason.TOO_MANY_DEBTS, f"an owner has at most {cap} that have not ended")
        self.last_number = number = self.last_number + 1
        token = self.live[number] = Token(
            number,
            agent.agent_id,
            command.feature,
            command.detail,
            command.principal_hours_milli,
            command.interest_hours_milli_per_month,
            command.maturity_us,
            dict(command.beneficiaries),
            command.attester,
            tuple(dict.fromkeys(command.skills)),
            settings.debt_hour_rate,
            settings.confirm_seconds if command.confirm_seconds is None else command.confirm_seconds,
            command.sign_by_us,
        )
        self._index(token)
        kind = "debts.lapse"
        token.deadline_id = context.deadlines.schedule_act(command.sign_by_us, kind, VENUE_SCOPE, number)
        self.tell(
            token,
            lambda: DebtProposed(
                token=number,
                feature=token.feature,
                issuer=token.issuer,
                principal_hours_milli=token.original,
                interest_hours_milli_per_month=token.interest,
                maturity_us=token.maturity_us,
                sign_by_us=token.sign_by_us,
            ),
        )
        return DebtOutcome(command.id, "accepted", context.stamp, token=number)

    def sign(self, agent: AgentRecord, command: SignDebt) -> Outcome:
        """Take a signature; with the last one, or with the attester's, the debt exists."""
        context, me = self.context, agent.agent_id
        token = self.live.get(command.token)
        if token is None:
            return self.reject_unknown(command, command.token)
        by_attester = me == token.attester and "attester" in agent.roles
        if not by_attester and me not in token.beneficiaries:
            detail = f"{me} is neither a beneficiary nor the attester of debt {token.number}"
            return context.reject(command, Reason.NOT_PERMITTED, detail)
        if token.state != "proposed":
            return context.reject(command, Reason.WRONG_STATE, f"debt {token.number} exists already")
        if me in token.signed:
            return context.reject(command, Reason.NO_CHANGE, f"{me} has signed")
        if context.time_us >= token.maturity_us:
            # The time to sign was moved by an outage, the maturity is not.
            detail = f"debt {token.number} would be overdue already; decline, and issue it anew"
            return context.reject(command, Reason.WRONG_STATE, detail)
        token.signed[me] = None
        self.tell(token, lambda: DebtSigned(token=token.number, agent=me))
        if by_attester or all(name in token.signed for name in token.beneficiaries):
            self._begin(token)
        return context.accept(command)

    def _begin(self, token: Token) -> None:
        """Let a debt exist from now on."""
        context, deadlines, number = self.context, self.context.deadlines, token.number
        deadlines.cancel(token.deadline_id)
        token.issued_us = context.time_us
        self.enter(token, "open")
        self.outstanding += token.owed
        self._await_month(token)
        token.maturity_id = deadlines.schedule_act(token.maturity_us, "debts.mature", VENUE_SCOPE, number)
        self.tally.count("issued_total")
        self.tell(
            token,
            lambda: DebtIssued(
                token=number, holder=token.holder, hours_milli=token.owed, interest_due_us=token.month_ends_us
            ),
        )
        context.announce(IssuedFact(number, token.issuer, token.interest, tuple(token.beneficiaries.items())))

    def decline(self, agent: AgentRecord, command: DeclineDebt) -> Outcome:
        """Let a debt lapse that does not exist yet."""
        token = self.live.get(command.token)
        if token is None:
            return self.reject_unknown(command, command.token)
        if agent.agent_id not in token.listeners():
            detail = f"{agent.agent_id} has nothing to do with debt {token.number}"
            return self.context.reject(command, Reason.NOT_PERMITTED, detail)
        if token.state != "proposed":
            return self.context.reject(command, Reason.WRONG_STATE, f"debt {token.number} exists; it can be repaid")
        self.end(token, "declined")
        return self.context.accept(command)

    def _lapse(self, number: int) -> None:
        token = self.live[number]
        token.deadline_id = 0
        self.end(token, "unsigned")

    # ── interest ────────────────────────────────────────────────────────────────────────────────

    def choose_interest(self, agent: AgentRecord, command: ChooseInterest) -> Outcome:
        """Note what the holder does about interest from now on."""
        token = self.live.get(command.token)
        if token is None:
            return self.reject_unknown(command, command.token)
        problem = self.check_holder(token, agent)
        if problem is not None:
            return self.context.reject(command, *problem)
        if token.is_paid == command.is_paid:
            return self.context.reject(command, Reason.NO_CHANGE, "that is so already")
        token.is_paid = command.is_paid
        return self.context.accept(command)

    def _await_month(self, token: Token) -> None:
        token.deadline_id = self.context.deadlines.schedule(token.month_ends_us, "debts.accrue", token.number)

    def _accrue(self, number: int) -> None:
        """Let a month's interest be paid or be added; while a debt is paid down, its holder can do neither."""
        token = self.live[number]
        hours = token.interest_of_month() if token.state != "paydown" else 0
        token.months += 1
        self._await_month(token)
        if not hours:
            return
        paid = self._pay_interest(token, hours) if token.is_paid else 0
        if not paid:
            token.accrued += hours
            self.outstanding += hours
            if token.state == "overdue":
                self.overdue.hours += hours
        self.tally.count("interest_seconds_total", "paid" if paid else "accrued", by=hours * _MILLI_HOUR_US)
        self.tally.count("interest_paid_credits_total", by=paid)
        self.tell(
            token,
            lambda: DebtInterestDue(token=number, hours_milli=hours, paid=paid, owed_hours_milli=token.owed),
        )

    def _pay_interest(self, token: Token, hours: int) -> int:
        """Pay a month's interest to the beneficiaries by weight; return what that took, 0 if the holder cannot."""
        context = self.context
        amount = credits_for(hours, token.hour_rate)
        holder = context.agents[token.holder]
        if holder.state != "active" or context.cashier.check(holder, amount) is not None:
            return 0
        posting = context.cashier.posting(token.cause)
        posting.fund(token.holder, token.escrow, amount)
        for name, part in largest_remainder(amount, token.beneficiaries):
            posting.pay(token.escrow, name, part)
        posting.post()
        return amount

    def _mature(self, number: int) -> None:
        """Let what is owed be overdue."""
        token = self.live[number]
        token.maturity_id = 0
        if token.state != "open":
            return
        self.enter(token, "overdue")
        self.paydowns.await_check()
        self.tell(token, lambda: DebtMatured(token=number, owed_hours_milli=token.owed))

    # ── what all parts need ─────────────────────────────────────────────────────────────────────

    def owner_of(self, agent_id: str) -> str:
        """Return the owner of a registered agent."""
        return self.context.agents[agent_id].owner

    def check_holder(self, token: Token, agent: AgentRecord) -> Violation | None:
        """Return why an agent may not dispose of a debt: only its holder may, while nobody pays it down by force."""
        if not self.acts_for(agent, token.holder):
            return Reason.NOT_PERMITTED, f"{token.holder} holds debt {token.number}"
        if token.state == "proposed":
            return Reason.WRONG_STATE, f"debt {token.number} is not signed yet"
        if token.state == "paydown":
            return Reason.WRONG_STATE, f"debt {token.number} is paid down by force"
        return None

    def acts_for(self, agent: AgentRecord, party: str) -> bool:
        """Return whether an agent is a party, or winds up for one of its owner's that was stopped."""
        record = self.context.agents[party]
        return agent is record or (agent.owner == record.owner and record.state != "active")

    def enter(self, token: Token, state: DebtState) -> None:
        """Let a debt be in another state; what is overdue is counted as such."""
        if token.state == "overdue":
            self.overdue.remove(token)
        token.state = state
        if state == "overdue":
            self.overdue.add(token)

    def repay(self, token: Token, hours: int) -> None:
        """Count hours of a debt as repaid."""
        token.repay(hours)
        self.outstanding -= hours
        if token.state == "overdue":
            self.overdue.hours -= hours
        self.tally.count("repaid_seconds_total", by=hours * _MILLI_HOUR_US)

    def transfer(self, token: Token, holder: str) -> None:
        """Let another agent hold a debt; whether it pays interest in credits is for it to say."""
        before = token.listeners()
        token.holder = holder
        token.is_paid = False
        after = token.listeners()
        for name in before:
            if name not in after:
                self._discard(name, token.number)
        self.by_agent.setdefault(holder, {})[token.number] = None

    def is_crisis(self) -> bool:
        """Return whether so much is overdue that debts are paid down by force."""
        settings, hours = self.context.settings, self.overdue.hours
        return (
            hours > 0
            and hours >= settings.crisis_overdue_hours_milli
            and hours * _BP > self.outstanding * settings.crisis_overdue_bp
        )

    def end(self, token: Token, outcome: EndReason) -> None:
        """End a debt whose money has moved."""
        deadlines, number = self.context.deadlines, token.number
        was_issued = token.state != "proposed"
        self.enter(token, _ENDS[outcome])
        token.outcome = outcome
        if was_issued:
            self.outstanding -= token.owed
        deadlines.cancel(token.deadline_id)
        deadlines.cancel(token.maturity_id)
        token.deadline_id = token.maturity_id = 0
        # A worker that failed may owe it its bond still.
        self.context.cashier.assign(token.escrow, token.issuer)
        del self.live[number]
        self._unindex(token)
        self.ended[number] = token
        if len(self.ended) > _REMEMBERED:
            del self.ended[next(iter(self.ended))]
        self.tally.count("ended_total", outcome)
        self.tell(token, lambda: DebtEnded(token=number, outcome=outcome))

    def _index(self, token: Token) -> None:
        for name in token.listeners():
            self.by_agent.setdefault(name, {})[token.number] = None
        owner = self.owner_of(token.issuer)
        self.issued[owner] = self.issued.get(owner, 0) + 1

    def _unindex(self, token: Token) -> None:
        for name in token.listeners():
            self._discard(name, token.number)
        owner = self.owner_of(token.issuer)
        self.issued[owner] -= 1
        if not self.issued[owner]:
            del self.issued[owner]

    def _discard(self, agent_id: str, number: int) -> None:
        numbers = self.by_agent[agent_id]
        del numbers[number]
        if not numbers:
            del self.by_agent[agent_id]

    def reject_unknown(self, command: Command, number: int) -> Outcome:
        """Reject what names a debt that has ended or never was."""
        ended = self.ended.get(number)
        if ended is not None:
            return self.context.reject(command, Reason.WRONG_STATE, f"debt {number} has ended: {ended.outcome}")
        return self.context.reject(command, Reason.UNKNOWN_DEBT, f"no debt {number}")

    def tell(self, token: Token, make: Callable[[], Event]) -> None:
        """Send all who have to do with a debt an event each."""
        for name in token.listeners():
            self.context.emit(self.context.agents[name], make())

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over a claim of repayment would be about, if this agent may begin one now."""
        return self.repaying.dispute_terms(number, agent)

    # ── ends of agents ──────────────────────────────────────────────────────────────────────────

    def _wind_up(self, fact: AgentEnded) -> None:
        """Give the debts of a revoked agent back to their issuers; its own are paid down.

        Its own at once, because what it has itself pays for them, and that goes to others right after. An owner has
        not many; what others have issued may be any number, and is worked off a page at a time.
        """
        agent_id = fact.agent
        self.trading.withdraw_bids(agent_id)
        own = [
            number
            for number in self.by_agent.get(agent_id, ())
            if self.live[number].issuer == self.live[number].holder == agent_id
        ]
        for number in sorted(own):
            if self.live[number].state != "proposed":
                self._return_to_issuer(self.live[number])
        self._wind_up_page(agent_id)

    def _wind_up_page(self, agent_id: str) -> None:
        """End what is proposed and return what is held; also fires as a deadline, in a batch of its own each time."""
        page = nsmallest(
            self.page,
            [
                number
                for number in self.by_agent.get(agent_id, ())
                if self.live[number].state == "proposed"
                or agent_id == self.live[number].holder != self.live[number].issuer
            ],
        )
        for number in page:
            token = self.live[number]
            if token.state == "proposed":
                self.end(token, "revoked")
            else:
                self._return_to_issuer(token)
        if len(page) == self.page:
            self.context.deadlines.schedule(self.context.time_us + 1, "debts.wind_up", agent_id)

    def _return_to_issuer(self, token: Token) -> None:
        self.trading.call_off(token, "revoked")
        if token.holder != token.issuer:
            self.trading.hand_over(token, token.issuer, "revoked", 0)
        if token.state != "paydown" and self.context.agents[token.holder].state == "revoked":
            self.paydowns.begin(token)

    def _withdraw(self, fact: SwitchLapsed) -> None:
        """Withdraw what an agent that cannot be reached proposed, signed, offered or bid, and that binds nobody yet."""
        self.trading.withdraw_bids(fact.agent)
        self._withdraw_page(fact.agent)

    def _withdraw_page(self, agent_id: str) -> None:
        """Withdraw the next of it; also fires as a deadline, in a batch of its own each time."""
        numbers = [number for number in self.by_agent.get(agent_id, ()) if self._is_free(self.live[number], agent_id)]
        page = nsmallest(self.page, numbers)
        for number in page:
            token = self.live[number]
            if token.state == "proposed":
                self.end(token, "dead_man")
            else:
                self.trading.call_off(token, "dead_man")
        if len(page) == self.page:
            self.context.deadlines.schedule(self.context.time_us + 1, "debts.withdraw", agent_id)

    @staticmethod
    def _is_free(token: Token, agent_id: str) -> bool:
        """Return whether an agent proposed, signed or offered a debt, and that binds nobody yet."""
        if token.state == "proposed":
            return agent_id == token.issuer or agent_id in token.signed
        return token.holder == agent_id and token.sale is not None and token.sale.closes_at_us is None

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch; of bids nothing."""
        states = dict.fromkeys(_LIVE_STATES, 0)
        for token in list(self.live.values()):
            states[token.state] = states.get(token.state, 0) + 1
        text = "Debts that have not ended."
        rows: list[Row] = [("live", text, {"state": state}, count) for state, count in states.items()]
        rows.append(("outstanding_seconds", "Work owed on all debts.", {}, self.outstanding * _MILLI_HOUR_US))
        text = "Work owed past its maturity that nobody pays down yet."
        rows.append(("overdue_seconds", text, {}, self.overdue.hours * _MILLI_HOUR_US))
        return [*rows, *self.tally.rows()]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of debts and their escrows."""
        return broken_invariants(self)

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all debts that have not ended."""
        names: list[str] = []
        for token in self.live.values():
            names += (token.escrow, token.sale_escrow)
        return names

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self.last_number,
            self.trading.last_offer,
            self.trading.last_bid,
            self.repaying.last_claim,
            self.paydowns.check_id,
            [token.dump() for token in self.live.values()],
            [token.dump() for token in self.ended.values()],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; indexes and sums follow from it."""
        self.last_number, self.trading.last_offer, self.trading.last_bid = state[:3]
        self.repaying.last_claim, self.paydowns.check_id, live, ended = state[3:]
        for fields in live:
            token = Token.load(fields)
            self.live[token.number] = token
            self._index(token)
            if token.state != "proposed":
                self.outstanding += token.owed
            if token.state == "overdue":
                self.overdue.add(token)
            self.trading.restore(token)
            self.repaying.restore(token)
            self.paydowns.restore(token)
        for fields in ended:
            token = Token.load(fields)
            self.ended[token.number] = token
