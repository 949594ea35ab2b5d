"""Search spaces: expansion to settings on a dataset, and spaces in the user's own files."""
