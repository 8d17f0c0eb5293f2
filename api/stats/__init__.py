"""What the clusters hold, counted from the database."""
