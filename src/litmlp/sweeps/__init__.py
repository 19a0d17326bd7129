"""Sweeps: one command starts many runs. It can be stopped at any time, and continued."""
