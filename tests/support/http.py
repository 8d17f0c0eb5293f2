"""An HTTP server of the standard library, for what the product calls."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from tests.support.ports import LOOPBACK


@contextmanager
def answered_by(
    handler: type[BaseHTTPRequestHandler], certificate: trustme.LeafCert | None = None
) -> Iterator[int]:
    """Answer HTTP requests, or HTTPS with *certificate*, in threads; yields the port."""
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


CERTIFICATE_FAULTS = ("another authority", "another host", "expired")


class Authority:
    """A certificate authority, and servers' certificates for LOOPBACK."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self._file))

    def trusted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process trust the authority, in contexts that it makes from now on."""
        monkeypatch.setenv("SSL_CERT_FILE", str(self._file))

    def certificate(self) -> trustme.LeafCert:
        """Return a good one."""
        return self._authority.issue_cert(LOOPBACK)

    def bad_certificate(self, fault: str) -> trustme.LeafCert:
        """Return one with a fault of CERTIFICATE_FAULTS."""
        if fault == "another authority":
            return trustme.CA().issue_cert(LOOPBACK)
        if fault == "another host":
            return self._authority.issue_cert("another.example")
        long_ago = datetime(2001, 1, 1, tzinfo=timezone.utc)
        return self._authority.issue_cert(LOOPBACK, not_after=long_ago)
