"""Training: the recipe, the contract of a backend's trainer, and the run that `bertx.train` makes of both."""
