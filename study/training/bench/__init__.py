"""The speed of the training step, beside a plain PyTorch loop of the same networks in the same run."""
