"""Trains GANs in one process; does not depend on Ray or on results folders."""
