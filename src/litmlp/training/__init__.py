"""What takes training steps: the epoch loop, optimizers, learning-rate schedules."""
