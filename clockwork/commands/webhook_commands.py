"""``clockwork webhook``: show how the webhooks do, try one, forget one."""

from datetime import datetime, timezone

from clockwork.commands.console import CommandError, moment_text, print_table, say
from clockwork.webhooks.call import CallFailed, addresses
from clockwork.webhooks.message import trial
from clockwork.webhooks.sender import Webhook
from clockwork.webhooks.senders import webhooks_of
from config import Settings
from ingest.database.changes import read_heads
from ingest.database.store import Store
from ingest.webhooks.state import WebhookState, forget, read_states, seconds_behind
from scraper.trial import Finding


def webhook_list(settings: Settings, store: Store) -> int:
    """Print a line for each webhook of the configuration and of the database: how it does."""
    states = {each.name: each for each in read_states(store)}
    headings = ["webhook", "delivered", "failed", "dropped", "seconds behind", "last success"]
    rows = []
    for name in sorted({*states, *settings.webhooks.targets}):
        state = states.get(name)
        cells = ["-"] * (len(headings) - 1) if state is None else _cells(store, state)
        note = "" if name in settings.webhooks.targets else "not in the configuration"
        failure = state.last_failure if state else None
        success = state.last_success if state else None
        if failure and (success is None or failure["at"] > success):
            note = str(failure["error"])
        rows.append([name, *cells, note or "-"])
    print_table([*headings, "last error"], rows)
    return 0


def _cells(store: Store, state: WebhookState) -> list[str]:
    now = datetime.now(timezone.utc)
    heads = read_heads(store, None, state.kind, None)
    behind = round(seconds_behind(store, heads, state, now))
    counts = (state.delivered, state.failed, state.dropped, behind)
    return [*map(str, counts), moment_text(state.last_success)]


def webhook_test(settings: Settings, name: str) -> int:
    """Call a webhook once, with no events; 0 if the receiver took the call."""
    known = {each.settings.name: each for each in webhooks_of(settings)}
    if name not in known:
        raise CommandError(
            f"{name}: not in the configuration; it names: {', '.join(known) or 'no webhook'}"
        )
    webhook = known[name]
    try:
        status = webhook.call(trial(webhook.settings), datetime.now(timezone.utc))
    except CallFailed as error:
        say(f"{name}: {error}")
        return 1
    say(f"{name}: the receiver answered {status}")
    return 0


def webhook_forget(settings: Settings, store: Store, name: str) -> int:
    """Delete what the database keeps of a webhook that is no longer in the configuration."""
    if name in settings.webhooks.targets:
        raise CommandError(f"{name}: is in the configuration; take it out and reload first")
    if not forget(store, name):
        raise CommandError(f"{name}: the database knows no webhook of this name")
    say(f"{name}: forgotten")
    return 0


def try_webhook(webhook: Webhook) -> Finding:
    """Return whether the host of a webhook has an address that may be called; calls nothing."""
    part = f"webhook {webhook.settings.name}"
    try:
        found = addresses(webhook.settings.address, webhook.allowed_hosts)
    except CallFailed as error:
        return Finding(part, "failed", str(error))
    where = f"{webhook.settings.host}, {', '.join(address for _, address in found)}"
    return Finding(part, "ok", f"{', '.join(webhook.settings.events)} to {where}")
