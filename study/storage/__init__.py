"""Files of a results folder: atomic files, the schema of its tables, part files, locks and paths."""
