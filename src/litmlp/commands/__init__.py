"""What a user types: train, evaluate, predict. Each is a function on a config or a folder, and a thin Hydra main."""
