"""Ask for the account of a token, and change accounts in ways that no command has."""

from datetime import datetime, timezone

from ingest.accounts.access import Accounts, Caller
from ingest.accounts.users import change_accounts
from ingest.database.store import Document, Store


def authenticate(store: Store, token: str) -> Caller | None:
    """Return the account of *token* now; None for any other text and an expired token."""
    return Accounts(store).of_token(token, datetime.now(timezone.utc))


def update_accounts(store: Store, update: Document, wanted: Document | None = None) -> None:
    """Change all accounts, or the *wanted* ones, so that every process learns of the change."""
    change_accounts(
        store, lambda users, session: users.update_many(wanted or {}, update, session=session)
    )
