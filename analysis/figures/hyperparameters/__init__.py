"""Figures of hyperparameters and searches, one file each."""
