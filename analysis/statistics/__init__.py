"""Intervals and quartiles of samples of scores; nothing here knows of trials."""
