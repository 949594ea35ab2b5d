"""The command that shows the progress of a study."""
