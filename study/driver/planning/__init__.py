"""From the user's request to the list of trials to run."""
