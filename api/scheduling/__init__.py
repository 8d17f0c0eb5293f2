"""What Slurm schedules: partitions, reservations, and why a job waits."""
