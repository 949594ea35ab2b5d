"""Run, repeat and extend the large-scale study of regularization and normalization in GANs (Kurach et al., 2019)."""
