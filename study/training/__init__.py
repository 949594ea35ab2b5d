"""Trains GANs in one process; it knows nothing of Ray or of results folders."""
