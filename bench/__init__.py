"""What Clockwork costs, beside what others cost and what can't be undercut: ``make bench``."""
