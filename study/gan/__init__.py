"""The science: losses, penalties, normalisations, architectures and the step, as pure functions of tensors."""
