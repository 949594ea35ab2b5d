"""From a request to the list of trials to run."""
