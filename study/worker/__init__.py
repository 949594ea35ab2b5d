"""A trial from its definition to its part file: what one worker process does."""
