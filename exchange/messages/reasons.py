"""List why a command is rejected (by a rule) or a message refused (before the journal). Closed enums."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Reason", "RefusalReason"]


class Reason(StrEnum):
    """Why a rule rejected a command; earlier groups are looked at before later ones."""

    # The id of the command, looked up before anything else.
    INVALID_ID = "invalid_id"
    DUPLICATE_ID = "duplicate_id"
    OUTCOME_FORGOTTEN = "outcome_forgotten"
    EXPIRED = "expired"
    VALID_UNTIL_TOO_FAR = "valid_until_too_far"
    TOO_MANY_SESSIONS = "too_many_sessions"
    # Who sent it.
    UNKNOWN_AGENT = "unknown_agent"
    AGENT_REVOKED = "agent_revoked"
    NOT_PERMITTED = "not_permitted"
    AGENT_SUSPENDED = "agent_suspended"
    AGENT_HALTED = "agent_halted"
    VENUE_HALTED = "venue_halted"
    VENUE_CANCEL_ONLY = "venue_cancel_only"
    MECHANISM_SUSPENDED = "mechanism_suspended"
    # Agents, owners, assets.
    TOO_MANY_AGENTS = "too_many_agents"
    AGENT_EXISTS = "agent_exists"
    ASSET_EXISTS = "asset_exists"
    UNKNOWN_ASSET = "unknown_asset"
    NOT_ISSUER = "not_issuer"
    ENDOWMENT_CAP = "endowment_cap"
    NO_CHANGE = "no_change"
    UNKNOWN_MECHANISM = "unknown_mechanism"
    UNKNOWN_QUARANTINE = "unknown_quarantine"
    # Markets.
    MARKET_EXISTS = "market_exists"
    UNKNOWN_MARKET = "unknown_market"
    INVALID_MARKET_TERMS = "invalid_market_terms"
    TOO_MANY_MARKETS = "too_many_markets"
    # Orders.
    UNKNOWN_ORDER = "unknown_order"
    MISSING_FIELD = "missing_field"
    FIELD_NOT_ALLOWED = "field_not_allowed"
    INVALID_EXPIRY = "invalid_expiry"
    INVALID_PRICE = "invalid_price"
    INVALID_QUANTITY = "invalid_quantity"
    INVALID_DISPLAY_QUANTITY = "invalid_display_quantity"
    QUANTITY_NOT_ABOVE_FILLED = "quantity_not_above_filled"
    NOTIONAL_TOO_LARGE = "notional_too_large"
    TRIGGER_ALREADY_MET = "trigger_already_met"
    NO_REFERENCE_PRICE = "no_reference_price"
    # What the market and its book say, once the order itself is right.
    MARKET_HALTED = "market_halted"
    MARKET_CANCEL_ONLY = "market_cancel_only"
    MARKET_IN_AUCTION = "market_in_auction"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    DUPLICATE_CLIENT_ORDER_ID = "duplicate_client_order_id"
    POST_ONLY_WOULD_TRADE = "post_only_would_trade"
    # Settlements and disputes.
    UNKNOWN_SETTLEMENT = "unknown_settlement"
    ALREADY_DELIVERED = "already_delivered"
    WRONG_STATE = "wrong_state"
    STALE_FENCING_TOKEN = "stale_fencing_token"  # noqa: S105 - no password
    ALREADY_DISPUTED = "already_disputed"
    UNKNOWN_DISPUTE = "unknown_dispute"
    TOO_MANY_ARBITRATORS = "too_many_arbitrators"
    # Tasks.
    UNKNOWN_TASK = "unknown_task"
    INVALID_TASK_TERMS = "invalid_task_terms"
    TOO_MANY_TASKS = "too_many_tasks"
    SAME_OWNER = "same_owner"
    MISSING_SKILL = "missing_skill"
    REPUTATION_TOO_LOW = "reputation_too_low"
    BID_ABOVE_RESERVE = "bid_above_reserve"
    BID_BELOW_RESERVE = "bid_below_reserve"
    TOO_MANY_BIDS = "too_many_bids"
    UNKNOWN_BID = "unknown_bid"
    # Leases.
    UNKNOWN_LEASE = "unknown_lease"
    NO_RENEWAL_OFFER = "no_renewal_offer"
    RENEWED_TOO_FAR = "renewed_too_far"
    RESOURCE_NOT_BUSY = "resource_not_busy"
    TOO_MANY_TURN_BIDS = "too_many_turn_bids"
    # Expertise.
    UNKNOWN_HELP_OFFER = "unknown_help_offer"
    TOO_MANY_HELP_OFFERS = "too_many_help_offers"
    TOO_MANY_TOPICS = "too_many_topics"
    NO_HELP_OFFERED = "no_help_offered"
    ALREADY_RATED = "already_rated"
    # Packages and contracts.
    UNKNOWN_AUCTION = "unknown_auction"
    INVALID_PACKAGE_TERMS = "invalid_package_terms"
    INVALID_PACKAGE_BID = "invalid_package_bid"
    TOO_MANY_AUCTIONS = "too_many_auctions"
    INVALID_DETERMINATION = "invalid_determination"
    UNKNOWN_CONTRACT = "unknown_contract"
    INVALID_CONTRACT_TERMS = "invalid_contract_terms"
    TOO_MANY_CONTRACTS = "too_many_contracts"
    # Property.
    UNKNOWN_MODULE = "unknown_module"
    MODULE_EXISTS = "module_exists"
    INVALID_MODULE_TERMS = "invalid_module_terms"
    TOO_MANY_MODULES = "too_many_modules"
    TOO_MANY_GRANTS = "too_many_grants"
    # Public goods.
    UNKNOWN_GOOD = "unknown_good"
    INVALID_GOOD_TERMS = "invalid_good_terms"
    TOO_MANY_GOODS = "too_many_goods"
    PLEDGE_TOO_SMALL = "pledge_too_small"
    PLEDGE_ABOVE_CAP = "pledge_above_cap"
    TOO_MANY_PLEDGES = "too_many_pledges"
    # Predictions.
    UNKNOWN_PREDICTION = "unknown_prediction"
    INVALID_PREDICTION_TERMS = "invalid_prediction_terms"
    TOO_MANY_PREDICTIONS = "too_many_predictions"
    UNKNOWN_PREDICTED_OUTCOME = "unknown_predicted_outcome"
    INSIDER = "insider"
    TOO_MANY_TRADERS = "too_many_traders"
    TOO_MANY_SHARE_ORDERS = "too_many_share_orders"
    INSUFFICIENT_SHARES = "insufficient_shares"
    PRICE_MOVED = "price_moved"
    # Debts.
    UNKNOWN_DEBT = "unknown_debt"
    INVALID_DEBT_TERMS = "invalid_debt_terms"
    TOO_MANY_DEBTS = "too_many_debts"
    UNKNOWN_REPAYMENT = "unknown_repayment"
    # Money, once everything else about the command was right; and whether it can do what it must.
    SPEND_LIMIT = "spend_limit"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    INSUFFICIENT_ASSET = "insufficient_asset"
    UNFILLABLE = "unfillable"


class RefusalReason(StrEnum):
    """Why the gateway refused a message: nothing of it ran."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TOO_MANY_COMMANDS = "too_many_commands"
    WRONG_FAMILY = "wrong_family"
    BAD_SUBJECT = "bad_subject"
    BAD_REPLY_SUBJECT = "bad_reply_subject"
    UNKNOWN_AGENT = "unknown_agent"
    AGENT_REVOKED = "agent_revoked"
    EXPIRED = "expired"
    VALID_UNTIL_TOO_FAR = "valid_until_too_far"
    RATE_LIMITED = "rate_limited"
    QUEUE_FULL = "queue_full"
    FLOODING = "flooding"
    QUARANTINED = "quarantined"
    NOT_LEADING = "not_leading"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    NOT_PERMITTED = "not_permitted"
    NOT_FOUND = "not_found"
    UNANSWERABLE = "unanswerable"
