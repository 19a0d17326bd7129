"""Plots of what a network has learned: functions that take arrays and return figures."""
