"""The commands that score images and generators."""
