"""The feature networks, by name."""
