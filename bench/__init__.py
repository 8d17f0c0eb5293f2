"""Measure what Clockwork costs, beside other ways and the least possible cost: ``make bench``."""
