"""Claims about the metric: agreement of FID and KID, the baseline on real images, effect of the definition."""

import itertools
import math

import numpy as np
import pandas as pd

from analysis.claims.cells import CellKey, ClaimData
from analysis.claims.claim import Claim, Inequality, Measurement, change, percent
from analysis.claims.quantities import QuantityEstimate, largest, quantile
from analysis.frames.trainings.agreement import both_distances, spearman, spearman_interval
from analysis.statistics.intervals import Array, least_quantile
from study.storage.baselines import read_baselines
from study.storage.schema import FINISHED, score_label

LEAST_CORRELATION = 0.99
"""Spearman's correlation above which two scores rank equally; the paper reports 0.994 and 0.995."""
LEAST_TRIALS = 30
PAPER = {"cifar10": (5.19, 10_000), "celeba-hq-128": (12.6, 3_000), "lsun-bedroom-128": (3.8, 10_000)}
"""FID between the splits (section 2.5), and the number of images on each side (section 4)."""
NEAR = 0.05
"""Relative tolerance of a baseline; the members of the paper's random split are not known."""
MUCH = 0.1
"""Relative difference between definitions of FID, according to the paper (section 4)."""
LEAST_PROTOCOLS = 3


def _ranks(data: ClaimData) -> list[Inequality]:
    """Both scores at the best checkpoint of every trial."""
    result = both_distances(data.trials, data.rows.checkpoints)
    return [_correlation(str(dataset), group) for dataset, group in result.groupby("dataset")]


def _correlation(dataset: str, result: pd.DataFrame) -> Inequality:
    scores, n = (result["frechet"].to_numpy(), result["kernel"].to_numpy()), len(result)

    def measure(level: float, least: float) -> Measurement | None:
        return Measurement(spearman(*scores), *spearman_interval(*scores, level)) if n >= LEAST_TRIALS else None

    return Inequality(
        cell_key=CellKey(dataset),
        n_a=n,
        statistic="rank correlation of Frechet and kernel distance",
        below=False,
        bound=LEAST_CORRELATION,
        measure=measure,
        show=lambda value: f"{value:.4g}",
    )


def _baselines(data: ClaimData) -> list[Inequality]:
    """Recorded distances between the splits, for datasets with a value in the paper, under the weights of FID."""
    folder = data.rows.folder
    images = set(zip(data.rows.trials["dataset"], data.rows.trials["dataset_sha256"], strict=True))
    inequalities = []
    for result in read_baselines(folder) if folder is not None else []:
        paper, n = PAPER.get(result.dataset, (math.nan, 0))
        same = (result.n_real, result.n_other) == (n, n) and (result.dataset, result.dataset_sha256) in images
        if same and score_label(vars(result)) == "FID":
            inequalities += [
                _baseline(result.dataset, result.frechet_distance, paper, n, below=below) for below in (True, False)
            ]
    return inequalities


def _baseline(dataset: str, distance: float, paper: float, n: int, *, below: bool) -> Inequality:
    off = distance / paper - 1
    return Inequality(
        cell_key=CellKey(dataset),
        a="train",
        b="test",
        n_a=n,
        n_b=n,
        statistic=f"FID between the splits, {distance:.2f} against {paper:g}: off by",
        below=below,
        bound=NEAR if below else -NEAR,
        measure=lambda level, least: Measurement(off, off, off),
        show=percent,
    )


def _definitions(data: ClaimData) -> list[Inequality]:
    """The same generators under several protocols of one extractor: the pair that differs most."""
    kept, trials = data.trials, data.rows.everything
    keys = ["trial_id", "dataset_sha256", "semantics"]
    trials = trials[(trials["status"] == FINISHED) & (trials["best_frechet_distance"] > 0)]
    trials = trials.merge(kept[keys].drop_duplicates(), on=keys)
    inequalities = []
    for (dataset, extractor, _), group in trials.groupby(["dataset", "extractor", "weights_sha256"]):
        wide = group.pivot_table(index=["trial_id", "best_step"], columns="protocol_id", values="best_frechet_distance")
        pairs = {
            f"{one} and {two}": np.abs(np.log((wide[two] / wide[one]).dropna().to_numpy()))
            for one, two in itertools.combinations(wide.columns, 2)
        }
        pairs = {name: values for name, values in pairs.items() if len(values)}
        if pairs:
            inequalities.append(_most(str(dataset), str(extractor), pairs, len(wide.columns)))
    return inequalities


def _most(dataset: str, extractor: str, pairs: dict[str, Array], protocols: int) -> Inequality:
    def measure(level: float, least: float) -> Measurement | None:
        each, corrected = (1 - (1 - one) / len(pairs) for one in (level, least))
        used = {name: values for name, values in pairs.items() if least_quantile(len(values), corrected) <= 0.5}
        if not used:
            return None
        result = {name: QuantityEstimate(*quantile(values, 0.5, each)) for name, values in used.items()}
        most = max(result, key=lambda name: result[name].value)
        value, low, high = largest(list(result.values()))
        few = protocols < LEAST_PROTOCOLS  # few protocols can support the claim but not reject it
        return Measurement(value, low, math.inf if few else high, words=f"protocols {most}")

    return Inequality(
        cell_key=CellKey(dataset),
        a=extractor,
        n_a=max(map(len, pairs.values())),
        statistic="median change of the score between protocols",
        below=False,
        bound=math.log(1 + MUCH),
        measure=measure,
        show=change,
    )


C14 = Claim(
    id="C14",
    statement="FID and KID rank models alike.",
    test=f"Spearman's correlation over best checkpoints above {LEAST_CORRELATION:g}; Fisher's transformation, with the "
    "error of normal laws or of the jackknife, whichever is larger.",
    needs=f"{LEAST_TRIALS} scored trials or more with a kernel distance; `--metrics kid`",
    paper="0.994 on LSUN and 0.995 on CelebA-HQ (section 2.4).",
    inequalities=_ranks,
)
C17 = Claim(
    id="C17",
    statement="The evaluator gives the paper's FID between training and test images.",
    test=f"Within {percent(NEAR)} of the paper's; one number without an interval.",
    needs="a baseline of cifar10, celeba-hq-128 or lsun-bedroom-128; `study data baseline NAME --results DIR`",
    paper="5.19 on CIFAR-10, 12.6 on CelebA-HQ, 3.8 on LSUN (section 2.5).",
    inequalities=_baselines,
)
C18 = Claim(
    id="C18",
    statement="The definition of the score can change it by more than 10 %.",
    test="Of the same generators under two protocols of one extractor, the median change; of all pairs of protocols "
    f"the largest, by order statistics and Bonferroni. Fewer than {LEAST_PROTOCOLS} protocols cannot speak against it.",
    needs="trials scored under two protocols or more; `study evaluate --all --protocol NAME`",
    paper="Stated in words (section 4).",
    inequalities=_definitions,
)
