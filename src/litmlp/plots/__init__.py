"""Plots of what a network has learned: functions of arrays that return figures."""
