"""Search spaces on a dataset: the paper's, and those in a user's own file."""
