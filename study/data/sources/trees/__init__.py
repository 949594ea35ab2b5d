"""Folders and archives: their files, and what the names of these say of splits, classes and labels."""
