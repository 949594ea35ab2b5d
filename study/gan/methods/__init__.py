"""What a method is made of: losses, penalties, normalizations and constraints."""
