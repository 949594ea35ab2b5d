"""The metrics, one file each: pure functions of features, class probabilities or images."""
