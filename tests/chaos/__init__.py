"""Clockwork under attack: each module tries to break one promise and reports the figures.

``make chaos`` runs them all at length and writes docs/chaos.md; the tests of this folder run each
of them for seconds.
"""
