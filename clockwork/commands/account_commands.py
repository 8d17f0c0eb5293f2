"""What ``clockwork user`` does: accounts and their tokens."""

import sys
from collections.abc import Sequence
from pathlib import Path

from clockwork.commands.console import moment_text, print_row, print_table, say
from ingest.accounts.csv_import import do_import, plan_import
from ingest.accounts.users import (
    EMAIL_FIELD,
    USERNAME_FIELDS,
    Names,
    add_user,
    list_users,
    remove,
    revoke,
)
from ingest.database.store import Store


def user_add(
    store: Store,
    email: str,
    mila: str | None,
    cc: str | None,
    username: str | None,
    token_name: str | None,
    role: str | None,
    *,
    rename: bool,
    days: int | None,
    coordinates: Sequence[str] | None,
) -> int:
    """Add an account or a token; the token is the one line on standard output."""
    user, token = add_user(
        *(store, email, mila, cc, token_name, role),
        username=username,
        rename=rename,
        days=days,
        coordinates=coordinates,
    )
    names = ", ".join(f"{field} {name}" for field, name in user.names.items() if name)
    coordinated = f", coordinates {', '.join(user.coordinates)}" if user.coordinates else ""
    say(f"{names}, role {user.role}{coordinated}. The token, which is never shown again:")
    sys.stdout.write(token + "\n")
    return 0


def user_import(store: Store, path: Path, *, dry_run: bool) -> int:
    """Add and change the accounts that a CSV file names; a line for each of them."""
    plan = plan_import(store, path)
    if not dry_run:
        do_import(store, plan)
    for names in plan.added:
        print_row(["added", *_cells(names)])
    for change in plan.changed:
        print_row(["changed", *_cells(change.after)])
    counts = f"{len(plan.added)} added, {len(plan.changed)} changed, {plan.unchanged} unchanged"
    say(f"{path}: {counts}" + (" (dry run: nothing was written)" if dry_run else ""))
    return 0


def _cells(names: Names) -> list[str]:
    return [names.get(field) or "-" for field in (EMAIL_FIELD, *USERNAME_FIELDS)]


def user_list(store: Store) -> int:
    """A line for each token, and for each account without one: whose it is, when it was used."""
    rows = []
    for user in list_users(store):
        account = [*_cells(user.names), user.role]
        coordinated = ",".join(user.coordinates) or "-"
        rows += [
            [
                *account,
                token.name,
                *map(moment_text, (token.created, token.last_used, token.expires)),
                coordinated,
            ]
            for token in user.tokens
        ]
        if not user.tokens:
            rows.append([*account, "-", "-", "-", "-", coordinated])
    about = ("role", "token", "created", "last used", "expires", "coordinates")
    print_table(["email", *USERNAME_FIELDS, *about], rows)
    return 0


def user_revoke(store: Store, email: str, token_name: str | None) -> int:
    """Revoke one token of an account, or all of them."""
    say(f"{email}: {_tokens(revoke(store, email, token_name))} revoked")
    return 0


def user_remove(store: Store, email: str) -> int:
    """Remove an account with its tokens; its jobs stay and belong to nobody."""
    say(f"{email}: removed, with {_tokens(len(remove(store, email).tokens))}; the jobs stay")
    return 0


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"
