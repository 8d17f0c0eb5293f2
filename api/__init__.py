"""The REST API: documents of Mongo as JSON over HTTP.

``build_app`` makes the WSGI application of a store, ``Server`` runs it under waitress.
"""

from api.app import build_app
from api.server import Server, ServerError

__all__ = ["Server", "ServerError", "build_app"]
