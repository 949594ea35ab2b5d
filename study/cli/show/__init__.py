"""The commands that show and export results."""
