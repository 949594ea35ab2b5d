"""Tables of settings, seeds, cost, metrics and searches, one file each."""
