"""The commands train, evaluate and predict. Each has a function for use from Python and a thin `main` for Hydra."""
