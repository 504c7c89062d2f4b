"""Who listens to the events of a run: progress, logs, metrics, limits."""
