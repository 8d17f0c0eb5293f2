"""Sign in accounts that an identity provider or a proxy has recognised."""
