"""The checks of `study selfcheck` that need more than the training step, and all of them in their order."""
