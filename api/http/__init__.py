"""HTTP: requests, responses, their bodies and header fields."""
