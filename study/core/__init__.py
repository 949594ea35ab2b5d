"""What a trial is, how it is scored, errors and text; the standard library only."""
