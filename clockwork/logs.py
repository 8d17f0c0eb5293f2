"""How the service logs: one line an event to standard error, for people or as JSON.

Everything that an event holds may come from a cluster, so control characters are written as
escapes and can't reach the terminal, and what follows a line break is indented: it can't pass for
an event.
"""

import json
import logging
import sys
from datetime import datetime, timezone

from config import LogSettings
from ingest.logs.log_lines import LogLines
from scraper.ssh.errors import printable

_RARELY_SECONDS = 60.0
_OF_REQUESTS_AND_ROUNDS = ("api.app", "scraper.cluster_round")
"""The loggers that write a line for each request and each round."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_logging(settings: LogSettings) -> None:
    """Send the log to standard error as *settings* say."""
    human = settings.format == "human" or (settings.format == "auto" and sys.stderr.isatty())
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(HumanFormatter() if human else JsonFormatter())
    is_notice = settings.level == "notice"
    level = "INFO" if is_notice else settings.level.upper()
    logging.basicConfig(level=level, handlers=[output], force=True)
    for name in _OF_REQUESTS_AND_ROUNDS:
        logging.getLogger(name).setLevel(logging.WARNING if is_notice else logging.NOTSET)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # below, it tells of rounds left out
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # below, it counts who waits
    logging.getLogger("waitress").filters = [
        Rarely()
    ]  # clients without a token can cause its lines
    logging.getLogger("pymongo").setLevel(logging.WARNING)  # below, it shows documents and commands
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class Rarely(logging.Filter):
    """One line a minute from each place in the code, with the number of lines in ``times``."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = LogLines(_RARELY_SECONDS)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the *record*."""
        times = self._lines.due(f"{record.pathname}:{record.lineno}", record.created)
        if times > 1:
            record.times = times
        return times > 0


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


class HumanFormatter(logging.Formatter):
    """``12:00:00 info  round cluster=mila kind=jobs records=12``"""

    def format(self, record: logging.LogRecord) -> str:
        """The line; those of a longer message and of a traceback follow it, indented."""
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        extras = "".join(f" {key}={_shown(value)}" for key, value in _extras(record).items())
        text = f"{moment} {record.levelname.lower():7} {record.getMessage()}{extras}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return "\n    ".join(printable(line) for line in text.split("\n"))


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if not text or " " in text else printable(text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what the event says besides."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        event: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=True)
