"""Turn signals into requests to stop or to reload, for a command that runs until it is stopped.

SIGTERM and SIGINT (Ctrl-C) ask the command to stop; a second such signal ends it at once.  SIGHUP
asks the command to read its configuration again.  If the terminal that the command was started on
is gone, SIGHUP came from the terminal's end and asks the command to stop.  Under nohup SIGHUP stays
ignored.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TERMINAL = "/dev/tty"


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal that is still open."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextmanager
def signals(
    stop: Callable[[], object],
    reload: Callable[[], object],
    stop_at_once: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Call *stop* and *reload* when a signal asks for it, until the end of the ``with``.

    *stop_at_once* is called for every further signal to stop; without it, such a signal ends the
    process.  To be used in the main thread.  The functions are called in the main thread, between
    any two of its steps, and should do little.
    """
    on_terminal = has_terminal()

    asked = False

    def ask_to_stop(*_: object) -> None:
        nonlocal asked
        if asked and stop_at_once is not None:
            stop_at_once()
            return
        if not asked and stop_at_once is None:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
        asked = True
        stop()

    def hang_up(*_: object) -> None:
        if on_terminal and not has_terminal():
            ask_to_stop()
        else:
            reload()

    handlers = {signal.SIGTERM: ask_to_stop, signal.SIGINT: ask_to_stop}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        handlers[signal.SIGHUP] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
