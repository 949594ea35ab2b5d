"""What one worker process does: a trial from its definition to its part file."""
