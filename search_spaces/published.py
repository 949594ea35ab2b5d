"""The best published models with their exact hyperparameters: 31 models, 29 settings.

Sources are the paper's tables of best parameters, the released code (compare_gan, generate_tasks_lib.py) and its
notebook of models (tfhub_models.ipynb). Two settings were published twice, with different weights of a penalty that
they do not use: here each is one setting with two seeds.
Differs from the released code: trials have the default length of the dataset, while the released models of resnet19
were trained for 200,000 steps (`--discriminator-steps 200000`).
"""

from collections.abc import Iterator

from search_spaces.blocks import Entry
from search_spaces.space import SearchSpace

CELEBA, CIFAR, LSUN = "celeba-hq-128", "cifar10", "lsun-bedroom-128"
NS, LS = "non_saturating", "least_squares"
SN, LN = "spectral_norm", "layer_norm"
GP, DR = "gradient_penalty", "dragan"

Row = tuple[tuple[float, ...], str, str, str | None, str | None, float | None, float, tuple[float, float], int]

# published FID, dataset, loss, normalisation, penalty, its weight, learning rate, betas, n_dis
SNDCGAN: tuple[Row, ...] = (
    ((28.66,), CIFAR, NS, None, None, None, 1e-4, (0.5, 0.999), 1),
    ((33.23,), CIFAR, NS, None, None, None, 2e-4, (0.5, 0.999), 1),
    ((61.15,), CELEBA, NS, None, None, None, 4.12e-4, (0.246, 0.341), 1),
    ((62.96,), CELEBA, NS, None, None, None, 2.54e-4, (0.222, 0.599), 1),
    ((163.51,), LSUN, NS, None, None, None, 2e-4, (0.5, 0.999), 1),
    ((167.15,), LSUN, NS, None, None, None, 6.2e-5, (0.608, 0.620), 1),
    ((25.27,), CIFAR, NS, SN, None, None, 2e-4, (0.5, 0.999), 1),
    ((26.16,), CIFAR, NS, SN, None, None, 1e-4, (0.5, 0.999), 1),
    ((28.21,), CELEBA, NS, SN, None, None, 2e-4, (0.5, 0.9), 1),
    ((29.92,), CELEBA, NS, SN, None, None, 1.54e-4, (0.246, 0.734), 1),
    ((53.59,), LSUN, NS, SN, None, None, 2.64e-4, (0.011, 0.966), 1),
    ((56.71,), LSUN, NS, SN, None, None, 1.92e-3, (0.097, 0.938), 1),
    ((26.00,), CIFAR, NS, SN, GP, 10, 2e-4, (0.5, 0.999), 1),
    ((24.67,), CELEBA, NS, SN, GP, 1, 2e-4, (0.5, 0.999), 1),
    ((25.22,), CELEBA, NS, SN, GP, 1, 2e-4, (0.5, 0.9), 1),
)
RESNET19: tuple[Row, ...] = (
    ((34.29,), CELEBA, NS, None, None, None, 3.38e-5, (0.375, 0.998), 1),
    ((35.85,), CELEBA, NS, None, None, None, 1e-4, (0.5, 0.999), 1),
    ((102.74,), LSUN, LS, None, None, None, 3.22e-5, (0.585, 0.990), 1),
    ((112.92,), LSUN, NS, None, None, None, 1.93e-5, (0.195, 0.882), 1),
    ((30.02, 32.05), CELEBA, NS, LN, None, None, 1e-4, (0.5, 0.999), 1),
    ((41.60,), LSUN, LS, SN, None, None, 2e-4, (0.5, 0.999), 1),
    ((42.51,), LSUN, NS, SN, None, None, 2.851e-4, (0.102, 0.998), 1),
    ((29.04,), CELEBA, NS, SN, GP, 1, 2e-4, (0.5, 0.999), 1),
    ((29.13,), CELEBA, NS, LN, DR, 1, 1e-4, (0.5, 0.9), 5),
    ((40.36,), LSUN, NS, LN, GP, 0.1451, 1.281e-4, (0.711, 0.979), 1),
)
RESNET_CIFAR: tuple[Row, ...] = (
    ((28.12,), CIFAR, NS, None, None, None, 2e-4, (0.5, 0.999), 5),
    ((30.08,), CIFAR, NS, None, None, None, 1e-4, (0.5, 0.999), 5),
    ((22.91, 23.22), CIFAR, NS, SN, None, None, 2e-4, (0.5, 0.999), 5),
    ((22.73,), CIFAR, NS, SN, GP, 1, 2e-4, (0.5, 0.999), 5),
)


def entries(architecture: str, rows: tuple[Row, ...]) -> Iterator[Entry]:
    """The rows of one of the tables above as entries."""
    for fid, dataset, loss, normalization, penalty, weight, learning_rate, (beta1, beta2), n_dis in rows:
        normalizations = (normalization,) if normalization else ()
        numbers = {"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2, "n_dis": n_dis}
        yield Entry(
            dataset=dataset,
            method={"architecture": architecture, "loss": loss, "normalizations": normalizations, "penalty": penalty},
            values={**numbers, "penalty_weight": weight},
            published=fid,
        )


SPACE = SearchSpace(
    name="published",
    description="the best models of the paper on the dataset, at their exact settings; twins as seeds 0 and 1",
    source="tables of best parameters and the released models (Kurach et al., 2019; compare_gan)",
    seeds=1,
    datasets=(CELEBA, CIFAR, LSUN),
    blocks=(
        *entries("sndcgan", SNDCGAN),
        *entries("resnet19", RESNET19),
        *entries("resnet_cifar", RESNET_CIFAR),
    ),
)
