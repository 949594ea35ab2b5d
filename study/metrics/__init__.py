"""How generated images are scored: feature extractors, Gaussian statistics of features, and the Frechet distance."""
