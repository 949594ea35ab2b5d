"""The paper's claims, several to a file by subject."""
