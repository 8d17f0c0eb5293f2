"""The base of all errors that end a command with a message."""


class OperatorError(Exception):
    """Something can't be done; the message says to the operator what is wrong and what to do."""
