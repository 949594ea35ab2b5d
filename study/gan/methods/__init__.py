"""The members of a method: losses, penalties, normalizations and constraints."""
