"""Pay overdue debts down by force: collect what that costs, and have the work done by somebody else.

Who answers for a debt is asked in turn: its escrow, its holder, its issuer, its beneficiaries. Who pays for somebody
before it has a lien on that one, as far as it has paid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.debts.token import DAY_US, Claimed, Paydown, credits_for
from exchange.mechanisms.facts import TaskOrdered
from exchange.mechanisms.shares import largest_remainder
from exchange.messages.base import CREDIT
from exchange.messages.debts import DebtPaydownBegun, DebtPaydownEnded, DebtPaydownOrdered

if TYPE_CHECKING:
    from exchange.mechanisms.debts.mechanism import Debts
    from exchange.mechanisms.debts.token import Token
    from exchange.mechanisms.facts import TaskFinal, TaskOpened
    from exchange.messages.debts import PaydownOutcome

__all__ = ["Paydowns"]

_COLLECT_US: Final = 7 * DAY_US
"""So long the debtors' liens are collected before the beneficiaries are asked."""

_AUCTION_US: Final = DAY_US
_WORK_US: Final = 30 * DAY_US
"""So long after the close of its auction the work may take."""

_TITLE_MAX: Final = 200
_EFFORT_MAX: Final = 527_040


class Paydowns:
    """Look daily whether there is a crisis, and lead each paydown to its end; they stand with their debts."""

    def __init__(self, debts: Debts) -> None:
        self._debts = debts
        self._context = debts.context
        self.check_id = 0
        """The deadline of the next daily check; 0 while nothing is overdue."""
        self._by_task: dict[int, int] = {}

    # ── the daily check ─────────────────────────────────────────────────────────────────────────

    def await_check(self) -> None:
        """Look at the next midnight whether there is a crisis; without anything overdue there is none."""
        if self.check_id or not len(self._debts.overdue):
            return
        deadlines, now_us = self._context.deadlines, self._context.time_us
        self.check_id = deadlines.schedule((now_us // DAY_US + 1) * DAY_US, "debts.check")

    def check(self) -> None:
        """Begin to pay down the debt that has been overdue for longest, if there is a crisis."""
        self.check_id = 0
        debts = self._debts
        if debts.is_crisis():
            debts.tally.count("crises_total")
            number = debts.overdue.oldest()
            if number is not None:
                self.begin(debts.live[number])
        self.await_check()

    # ── collecting ──────────────────────────────────────────────────────────────────────────────

    def begin(self, token: Token) -> None:
        """Charge what the hours owed come to: to the debt's escrow, its holder, its issuer."""
        context, cashier = self._context, self._context.cashier
        self._debts.trading.call_off(token, "paydown")
        self._debts.enter(token, "paydown")
        bounty = cashier.in_escrow(token.escrow)
        amount = self.amount_of(token)
        paydown = token.paydown = Paydown(token.holder, min(bounty, amount))
        missing = max(amount - bounty, 0)
        if token.holder != token.issuer:
            paydown.by_holder = self._collect(token, token.holder, missing)
            missing -= paydown.by_holder
            number = cashier.owe(token.holder, token.issuer, missing, token.cause) if self._answers(token) else 0
            paydown.recourse = Claimed(number, missing if number else 0)
        paydown.by_issuer = self._collect(token, token.issuer, missing)
        missing -= paydown.by_issuer
        debtor = token.issuer if self._answers(token) else token.holder
        number = cashier.owe(debtor, token.escrow, missing, token.cause)
        paydown.lien = Claimed(number, missing if number else 0)
        until_us = context.time_us + _COLLECT_US
        paydown.deadline_id = context.deadlines.schedule(until_us, "debts.end_collecting", token.number)
        collected = paydown.by_holder + paydown.by_issuer
        self._debts.tally.count("paydown_credits_total", by=collected)
        self._debts.tell(
            token,
            lambda: DebtPaydownBegun(
                token=token.number,
                hours_milli=token.owed,
                amount=amount,
                collected=min(bounty, amount) + collected,
                collect_until_us=until_us,
            ),
        )

    @staticmethod
    def amount_of(token: Token) -> int:
        """Return what the hours owed come to in credits."""
        return credits_for(token.owed, token.hour_rate)

    def _answers(self, token: Token) -> bool:
        """Return whether anybody is left of the issuer."""
        return self._context.cashier.payee(token.issuer) in self._context.agents

    def _collect(self, token: Token, agent_id: str, amount: int) -> int:
        """Debit an agent as far as it can pay; of one that is being wound up first what it has itself."""
        context, cashier = self._context, self._context.cashier
        paid = 0
        if amount > 0 and context.agents[agent_id].state == "revoked":
            balance = context.ledger.balance(agent_id, CREDIT)
            # Its older debts come first.
            cashier.pay_liens(agent_id, balance.available)
            paid = min(balance.available, amount)
            posting = cashier.posting(token.cause)
            posting.fund(agent_id, token.escrow, paid)
            posting.post()
        return paid + cashier.collect(agent_id, token.escrow, amount - paid, token.cause)

    def go_on(self, token: Token, by: str) -> None:
        """Do what waited for a claim; ``by`` has repaid what there was, if nothing is owed now."""
        paydown = token.paydown
        if paydown is None:
            return
        if not token.owed:
            self._let_liens_go(paydown)
            self._give_back(token, paydown, by)
            self._end(token, "repaid")
            self._debts.end(token, "repaid")
        elif paydown.is_due:
            self._order(token, paydown)

    def end_collecting(self, number: int) -> None:
        """Ask the beneficiaries for the rest, once no claim is open that could make it less."""
        token = self._debts.live[number]
        paydown = token.paydown
        if paydown is None:
            return
        paydown.deadline_id = 0
        paydown.is_due = True
        if token.claim is None:
            self._order(token, paydown)

    def _order(self, token: Token, paydown: Paydown) -> None:
        """Have the work auctioned for what was collected."""
        context, cashier = self._context, self._context.cashier
        paydown.is_due = False
        amount = self.amount_of(token)
        missing = max(amount - cashier.in_escrow(token.escrow), 0)
        self._ask_beneficiaries(token, paydown, missing)
        reserve = min(cashier.in_escrow(token.escrow), amount)
        if not reserve:
            self._fail(token, paydown)
            return
        escrow = escrow_of(f"{token.cause}:paydown")
        posting = cashier.posting(token.cause)
        posting.move(token.escrow, escrow, reserve)
        posting.post()
        hours = f"{token.owed // 1_000}.{token.owed % 1_000:03d}"
        closes_at_us = context.time_us + _AUCTION_US
        context.announce(
            TaskOrdered(
                origin=token.cause,
                escrow=escrow,
                poster=self._confirmer(token, paydown),
                refund=token.escrow,
                title=f"{hours} h of debt {token.number}: {token.feature}"[:_TITLE_MAX],
                detail=token.detail,
                skills=token.skills,
                effort_minutes=min(max(-(-token.owed * 60 // 1_000), 1), _EFFORT_MAX),
                reserve=reserve,
                closes_at_us=closes_at_us,
                deadline_us=closes_at_us + _WORK_US,
                excluded_owners=self._debtors(token, paydown),
                attester=self._attester(token, paydown),
            )
        )

    def _ask_beneficiaries(self, token: Token, paydown: Paydown, missing: int) -> None:
        """Take the rest from those who signed, as far as they have it; who pays has that much of the lien on it."""
        cashier = self._context.cashier
        # What was repaid meanwhile is owed by nobody any more.
        paydown.lien.forgive(cashier, paydown.lien.left(cashier) - missing)
        for name, part in largest_remainder(missing, token.beneficiaries):
            if name in token.signed:
                paid = cashier.collect(name, token.escrow, part, token.cause)
                if paid:
                    paydown.advances[name] = paid
                self._debts.tally.count("paydown_credits_total", by=paid)
        self._divide_lien(token, paydown)
        self._limit_recourse(paydown)

    def _divide_lien(self, token: Token, paydown: Paydown) -> None:
        """Let those who paid be owed what they paid; what nobody paid is owed to the escrow still."""
        cashier, left = self._context.cashier, paydown.lien.left(self._context.cashier)
        advanced = sum(paydown.advances.values())
        if not left or not advanced:
            return
        number, debtor = paydown.lien.number, cashier.liens[paydown.lien.number].debtor
        parts: list[tuple[str, int]] = []
        for name, part in largest_remainder(min(left, advanced), paydown.advances):
            if part and cashier.takes(name) == debtor:
                # Nobody owes itself anything.
                left -= paydown.lien.forgive(cashier, part)
            elif part:
                parts.append((name, part))
        if not parts:
            return
        rest = left - sum([part for _, part in parts])
        divided = [(token.escrow, rest), *parts] if rest else parts
        numbers = [number, *range(cashier.last_lien + 1, cashier.last_lien + len(divided))]
        brought = paydown.lien.brought(cashier)
        cashier.divide(number, divided)
        paydown.lien = Claimed(number if rest else 0, brought + rest)
        paydown.liens = {
            name: Claimed(each, part) for each, (name, part) in zip(numbers[bool(rest) :], parts, strict=True)
        }

    def _limit_recourse(self, paydown: Paydown) -> None:
        """Let the holder owe the issuer no more than that has paid for it, and still owes."""
        answered = paydown.by_issuer + paydown.lien.amount + sum([lien.amount for lien in paydown.liens.values()])
        paydown.recourse.forgive(self._context.cashier, paydown.recourse.amount - answered)

    def _debtors(self, token: Token, paydown: Paydown) -> tuple[str, ...]:
        names = (paydown.holder, token.holder, token.issuer)
        return tuple(dict.fromkeys([self._debts.owner_of(name) for name in names]))

    def _confirmer(self, token: Token, paydown: Paydown) -> str:
        """Return who confirms the work: the beneficiary of the most weight that is there, and of no debtor's owner."""
        agents, barred = self._context.agents, self._debtors(token, paydown)
        best, most = "", 0
        for name, weight in token.beneficiaries.items():
            if weight > most and agents[name].state != "revoked" and agents[name].owner not in barred:
                best, most = name, weight
        return best or next(iter(token.beneficiaries))

    def _attester(self, token: Token, paydown: Paydown) -> str | None:
        """Return who may confirm the work as well: the attester, if it is there, and of no debtor's owner."""
        agents, name = self._context.agents, token.attester
        if name is None or agents[name].state == "revoked" or agents[name].owner in self._debtors(token, paydown):
            return None
        return name

    # ── the work ────────────────────────────────────────────────────────────────────────────────

    def note_task(self, fact: TaskOpened) -> None:
        """Remember the task of a paydown."""
        family, _, number = fact.origin.partition(":")
        token = self._debts.live.get(int(number)) if family == self._debts.family else None
        if token is None or token.paydown is None:
            return
        token.paydown.task = fact.task
        self._by_task[fact.task] = token.number
        reserve = self._context.cashier.in_escrow(escrow_of(f"tasks:{fact.task}"))
        self._debts.tell(
            token,
            lambda: DebtPaydownOrdered(token=token.number, task=fact.task, hours_milli=token.owed, reserve=reserve),
        )

    def finish(self, fact: TaskFinal) -> None:
        """End a paydown with its task."""
        number = self._by_task.pop(fact.task, None)
        if number is None:
            return
        token = self._debts.live[number]
        paydown = token.paydown
        if paydown is None:
            return
        if not fact.is_completed:
            self._fail(token, paydown)
            return
        self._debts.repay(token, token.owed)
        # What nobody paid the work has not cost.
        paydown.lien.forgive(self._context.cashier, paydown.lien.left(self._context.cashier))
        self._give_back(token, paydown, token.issuer)
        self._end(token, "paid_down")
        self._debts.end(token, "paid_down")

    def _fail(self, token: Token, paydown: Paydown) -> None:
        """Let a debt be overdue again; where nobody is left who holds it, it is written off."""
        self._return_advances(token, paydown)
        self._let_liens_go(paydown)
        if self._context.agents[token.holder].state == "revoked":
            escrow = token.escrow
            posting = self._context.cashier.posting(token.cause)
            for name, part in largest_remainder(self._context.cashier.in_escrow(escrow), token.beneficiaries):
                posting.pay(escrow, name, part)
            posting.post()
            self._end(token, "written_off")
            self._debts.end(token, "written_off")
            return
        self._end(token, "failed")
        self._debts.enter(token, "overdue")
        self.await_check()

    def _end(self, token: Token, outcome: PaydownOutcome) -> None:
        paydown = token.paydown
        if paydown is not None:
            self._context.deadlines.cancel(paydown.deadline_id)
        token.paydown = None
        self._debts.tally.count("paydowns_total", outcome)
        self._debts.tell(token, lambda: DebtPaydownEnded(token=token.number, outcome=outcome))

    # ── what is not spent ───────────────────────────────────────────────────────────────────────

    def _return_advances(self, token: Token, paydown: Paydown) -> None:
        """Give beneficiaries back what they paid, as far as it is not spent and no lien has brought it."""
        cashier = self._context.cashier
        due: dict[str, int] = {}
        for name, advance in paydown.advances.items():
            lien = paydown.liens.get(name)
            left = advance - (0 if lien is None else lien.brought(cashier))
            if left > 0:
                due[name] = left
        amount = min(cashier.in_escrow(token.escrow), sum(due.values()))
        if not amount:
            return
        posting = cashier.posting(token.cause)
        parts = largest_remainder(amount, due)
        for name, part in parts:
            posting.give_back(token.escrow, name, part)
        posting.post()
        for name, part in parts:
            lien = paydown.liens.get(name)
            if lien is not None:
                lien.forgive(cashier, part)

    def _let_liens_go(self, paydown: Paydown) -> None:
        """Let nobody owe any more what was not collected: the hours are still owed, or are repaid."""
        cashier = self._context.cashier
        for lien in (paydown.lien, *paydown.liens.values()):
            lien.forgive(cashier, lien.left(cashier))
        self._limit_recourse(paydown)

    def _give_back(self, token: Token, paydown: Paydown, heir: str) -> None:
        """Give back what a debt that ends has in escrow, in the reverse order of payment; the rest goes to ``heir``."""
        self._return_advances(token, paydown)
        self._limit_recourse(paydown)
        cashier, recourse = self._context.cashier, paydown.recourse
        left = cashier.in_escrow(token.escrow)
        by_issuer = paydown.by_issuer + paydown.lien.brought(cashier)
        by_issuer += sum([lien.brought(cashier) for lien in paydown.liens.values()])
        by_holder = paydown.by_holder
        if recourse.number:
            # What the holder has paid the issuer back, it has paid itself.
            by_holder += recourse.brought(cashier)
            by_issuer = min(by_issuer, recourse.left(cashier))
        elif paydown.holder != token.issuer:
            by_holder, by_issuer = by_holder + by_issuer, 0
        to_issuer = min(left, by_issuer)
        to_holder = min(left - to_issuer, by_holder)
        posting = cashier.posting(token.cause)
        posting.give_back(token.escrow, token.issuer, to_issuer)
        posting.give_back(token.escrow, paydown.holder, to_holder)
        posting.pay(token.escrow, heir, left - to_issuer - to_holder)
        posting.post()
        recourse.forgive(cashier, to_issuer)

    def restore(self, token: Token) -> None:
        """Know again the task of a paydown that was loaded."""
        if token.paydown is not None and token.paydown.task:
            self._by_task[token.paydown.task] = token.number
