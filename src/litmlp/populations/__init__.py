"""Trains many runs together, with one step for all of them."""
