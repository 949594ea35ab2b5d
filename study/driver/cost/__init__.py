"""How long a plan takes and what it keeps on disk."""
