"""The commands that list what there is: methods, datasets and search spaces."""
