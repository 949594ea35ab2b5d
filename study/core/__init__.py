"""Trials, metric protocols, errors and text formatting; needs only the standard library."""
