"""How long a plan takes, and how much disk space it needs."""
