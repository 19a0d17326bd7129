"""Sweeps: many runs from one command, which can be stopped anywhere and go on."""
