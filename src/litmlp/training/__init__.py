"""Training steps: the loop, optimizers, schedules."""
