"""How an endpoint is declared, and what follows from it."""
