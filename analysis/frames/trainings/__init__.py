"""Trainings: their course, seeds, cost, and the agreement of two metrics."""
