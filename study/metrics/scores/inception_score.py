"""The Inception Score, with the class probabilities of any classifier."""

import math

import torch

from study.metrics.scores.classes import Classes


def inception_score(classes: Classes) -> float:
    """exp(E_x KL(p(y|x) || p(y))), in [1, C] for C classes; higher is better (Salimans et al. 2016, section 4).

    Over all images at once, as in the study: one split, on the images of the Frechet distance. Other papers report the
    mean over 10 splits, which is slightly lower.
    """
    marginal = classes.probabilities / classes.count
    # E_x KL(p(y|x) || p(y)) = E_x sum p log p - sum p(y) log p(y)
    divergence = classes.negative_entropy / classes.count - torch.special.xlogy(marginal, marginal).sum()
    return math.exp(max(float(divergence), 0.0))
