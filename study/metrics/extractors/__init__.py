"""Feature networks (extractors) and their menu."""
