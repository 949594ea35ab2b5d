"""Scoring of generated images: feature extractors, statistics of features, and metrics."""
