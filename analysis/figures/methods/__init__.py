"""Figures that compare methods, one file each."""
