"""The REST API: documents of Mongo as JSON over HTTP.

``build_app`` returns the WSGI application of a store, ``Server`` runs it under waitress.  The
packages import one another in this direction only::

    http       requests, responses, their bodies and header fields
    stats      what the clusters hold, counted for all who ask
    auth       tokens and rate limits
    schema     how an endpoint is declared, and its description
    lists      filters, fields, order and pages of lists
    endpoints  a module for each subject
    app        the routes
"""

from api.app import build_app
from api.server import Server, ServerError

__all__ = ["Server", "ServerError", "build_app"]
