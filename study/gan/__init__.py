"""Losses, penalties, normalizations, architectures and the training step, as pure functions of tensors."""
