"""The commands that list the methods, datasets and search spaces, and those that prepare data."""
