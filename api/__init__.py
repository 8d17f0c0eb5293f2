"""The REST API: documents of Mongo as JSON over HTTP.

``build_app`` makes the WSGI application of a store, ``serve`` runs it under waitress.
"""

from api.app import build_app
from api.server import ServerError, open_server, serve

__all__ = ["ServerError", "build_app", "open_server", "serve"]
