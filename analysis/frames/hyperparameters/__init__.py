"""Hyperparameters: their effect on the score, and the searches for the best ones."""
