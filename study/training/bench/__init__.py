"""Speed of the training step, compared with a plain PyTorch loop with the same networks in the same run."""
