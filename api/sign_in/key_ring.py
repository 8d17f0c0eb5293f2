"""Keep the keys of an issuer, and read them again in the background.

The keys come from a file or from an HTTPS address.  They are read at the start, and by requests
with a JWT: if the keys are an hour old, or the JWT names a key that is unknown, but then at most
once a minute.  So nobody can make Clockwork ask the issuer again and again by sending JWTs.

The first request after two idle hours waits for the keys, so that a key that the issuer withdrew
signs nobody in.  If the keys can't be read, the keys from before stay for a day.
"""

import logging
import threading
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from api.sign_in.keys import Key, KeysUnusable, read_keys
from config.settings import JwtSettings
from ingest.logs.latest_warning import LatestWarning

REFRESH_SECONDS = 3600.0
"""The age at which keys are read again."""
LONGEST_SECONDS = 86_400.0
"""How long keys are believed while they can't be read again."""
LEAST_SECONDS = 60.0
"""Between two readings."""
FETCH_SECONDS = 10.0
"""What a response of the issuer may take."""
MOST_BYTES = 256 << 10
"""Bytes of a file or a response with keys."""

_ANSWER_SECONDS = 5.0
"""What the issuer may take for each step, such as to connect."""
_WAIT_SECONDS = 2.0
"""How long a request waits for keys that are being read."""
_CHUNK_BYTES = 16 << 10

logger = logging.getLogger(__name__)


class KeyRing:
    """The keys of the issuer of *settings*. Safe to use from several threads.

    *clock* tells monotonic seconds.
    """

    def __init__(self, settings: JwtSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._keys_read_at = self._last_reading = self._may_read_at = self._outdated_at = clock()
        self._lock = threading.Lock()
        self._reading = threading.Thread()
        self._warning = LatestWarning(logger, {})
        self._read_if(lambda _now: True)

    @property
    def is_settled(self) -> bool:
        """Whether there are keys that are believed, and no others are being read."""
        return bool(self._believed) and not self._reading.is_alive()

    def matching(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that a JWT with this *kid* may be signed with; none if it is unknown.

        May wait two seconds for new keys.  Returns none if the first reading after idle hours takes
        longer.
        """
        must_wait = self._was_idle or not self._believed
        found = self._matching(kid, algorithm)
        if found:
            self._read_if(lambda now: now >= self._outdated_at)
        elif self._read_if(lambda now: now >= self._may_read_at):
            must_wait = True
        if must_wait:
            self._reading.join(_WAIT_SECONDS)
            found = [] if self._was_idle else self._matching(kid, algorithm)
        return found

    def _matching(self, kid: str | None, algorithm: str) -> list[Key]:
        return [
            each
            for each in self._believed
            if each.algorithm == algorithm and (kid is None or each.kid in (None, kid))
        ]

    @property
    def _believed(self) -> tuple[Key, ...]:
        is_too_old = self._clock() - self._keys_read_at > LONGEST_SECONDS
        return () if is_too_old else self._keys

    @property
    def _was_idle(self) -> bool:
        """Whether no reading, good or bad, has ended for so long that the keys may be withdrawn."""
        return self._clock() - self._last_reading > 2 * REFRESH_SECONDS

    def _read_if(self, is_due: Callable[[float], bool]) -> bool:
        """Begin to read the keys if that is due. Return whether it began."""
        with self._lock:
            now = self._clock()
            if not is_due(now) or self._reading.is_alive():
                return False
            self._may_read_at = self._outdated_at = now + LEAST_SECONDS
            self._reading = threading.Thread(target=self._read, name="keys", daemon=True)
            self._reading.start()
            return True

    def _read(self) -> None:
        try:
            self._keys = fetch_keys(self._settings)
        except KeysUnusable as error:
            self._warn(str(error))
        except Exception as error:  # noqa: BLE001 - a defect must not end sign-in without a word
            self._warn(f"keys can't be read, by a defect of Clockwork: {error!r}")
        else:
            self._keys_read_at = self._clock()
            self._outdated_at = self._keys_read_at + REFRESH_SECONDS
            self._warning.forget()
        finally:
            self._last_reading = self._clock()

    def _warn(self, what: str) -> None:
        kept = "the keys from before stay" if self._believed else "no JWT can be verified"
        self._warning.warn(f"sign-in: {what}; {kept}")


def fetch_keys(settings: JwtSettings) -> tuple[Key, ...]:
    """Read the keys of an issuer. Raises KeysUnusable, which names the file or the address."""
    place = settings.keys_url or str(settings.keys_file)
    try:
        return read_keys(_of_address(place) if settings.keys_url else _of_file(Path(place)))
    except (OSError, HTTPException, ValueError) as error:
        raise KeysUnusable(f"keys of {place} can't be read: {error}") from None
    except KeysUnusable as error:
        raise KeysUnusable(f"keys of {place} can't be used: {error}") from None


def _of_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(MOST_BYTES + 1))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the error that it is here: the configured address counts."""

    def redirect_request(self, *_arguments: Any, **_keys: Any) -> None:
        """Follow nothing."""


def _of_address(url: str) -> bytes:
    deadline = time.monotonic() + FETCH_SECONDS
    opener = urllib.request.build_opener(_NoRedirect)
    content = b""
    # The settings take https alone, and http on this host.
    with opener.open(url, timeout=_ANSWER_SECONDS) as response:
        while chunk := response.read1(_CHUNK_BYTES):
            content = _bounded(content + chunk)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the response took more than {FETCH_SECONDS:g} s")
    return content


def _bounded(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise KeysUnusable(f"there are more than {MOST_BYTES >> 10} KiB")
    return content
