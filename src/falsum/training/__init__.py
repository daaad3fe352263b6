"""The loop: jobs, steps, optimizers and schedules. Yields records, prints and writes nothing."""
