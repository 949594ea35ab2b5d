"""The command that shows how far a study is."""
