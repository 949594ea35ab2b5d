"""Figures of trainings, one file each."""
