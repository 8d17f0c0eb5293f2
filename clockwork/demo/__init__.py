"""The demo: two simulated clusters behind real SSH servers on loopback."""
