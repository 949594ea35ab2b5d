"""Bayesian optimisation: rounds, samplers and the acquisition function."""
