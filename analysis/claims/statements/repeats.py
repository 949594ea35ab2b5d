"""Claims about paired settings: training length, network variants, cost and seeds."""

import itertools
import json
import math

import numpy as np

from analysis.claims.cells import GP, NS, SN, CellKey, ClaimData, label
from analysis.claims.claim import Claim, Inequality, Measurement, change, percent
from analysis.claims.quantities import level_per_term, quantile, quantile_sum, sample_quantile, welch
from analysis.frames.trainings.cost import timed_trainings
from analysis.rows.scores import FINAL, HYPERPARAMETERS, SETTING, scored
from analysis.statistics.intervals import Array, least_quantile
from study.storage.schema import FINISHED

CELL = list(CellKey._fields)
TWICE = (1.5, 2.5)
"""Range of the ratio of training lengths of a pair; 2 in the paper."""
CODES = ("DEF", "RES", "OPT", "CIN_OPT", "SUM", "TAN", "EPS", "ALL")
"""Ablation codes except CIN (appendix D; study/gan/architectures/resnet_cifar.py)."""
LITTLE = 0.1
"""A relative difference below this matters little; the paper gives no number."""
NOTHING = 1e-6
"""A relative range below this is rounding error."""


def _longer(data: ClaimData) -> list[Inequality]:
    """Pairs of a trial and the same trial with about twice the length, by final scores."""
    rows = scored(data.trials[data.trials["variant"] == GP], FINAL).assign(
        ranked=lambda frame: frame["score"].fillna(math.inf)
    )
    keys = [name for name in SETTING if name != "discriminator_steps"] + ["seed"]
    rows = rows.sort_values("discriminator_steps")
    groups = rows.groupby(keys, dropna=False)
    longer = groups[["discriminator_steps", "ranked"]].shift(-1)
    times = longer["discriminator_steps"] / rows["discriminator_steps"]
    pairs = rows.assign(longer=longer["ranked"])[times.between(*TWICE)]
    return [
        _change(CellKey(*map(str, key)), group["ranked"].to_numpy(), group["longer"].to_numpy())
        for key, group in pairs.groupby(CELL)
    ]


def symmetric_change(before: Array, after: Array) -> Array:
    """(after - before) / (after + before), in [-1, 1], of scores that may be inf.

    It is 1 if only `before` has a score, -1 if only `after` has one, and 0 if neither has. It is monotonic in after /
    before, so medians of both correspond.

    >>> symmetric_change(np.array([1.0, math.inf, 2.0]), np.array([3.0, 2.0, math.inf])).tolist()
    [0.5, -1.0, 1.0]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        records = np.asarray((after - before) / (after + before), dtype=float)
    records[np.isinf(after) & np.isfinite(before)] = 1.0
    records[np.isinf(before) & np.isfinite(after)] = -1.0
    records[np.isnan(records)] = 0.0
    return records


def _relative(value: float) -> float:
    """The relative change of a symmetric change; inf at 1."""
    return 2 * value / (1 - value) if value < 1 else math.inf


def _change(cell_key: CellKey, before: Array, after: Array) -> Inequality:
    values = symmetric_change(before, after)

    def measure(level: float, least: float) -> Measurement | None:
        if least_quantile(len(values), least) > 0.5:
            return None
        value, low, high = (_relative(min(max(each, -1.0), 1.0)) for each in quantile(values, 0.5, level))
        return Measurement(value, low, high)

    return Inequality(
        cell_key=cell_key,
        a="GP, longer",
        b="GP",
        n_a=len(values),
        n_b=len(values),
        statistic="median change of the final score",
        below=True,
        measure=measure,
        show=percent,
    )


def _ablation(data: ClaimData) -> list[Inequality]:
    """CIN against each other code, and each other code within 10 % of DEF; repeats of one setting over seeds."""
    rows = data.trainings
    rows = rows[(rows["architecture"] == "resnet_cifar") & (rows["loss"] == NS) & (rows["normalizations"] == SN)]
    rows = rows[rows["penalty"].isna() & rows["constraint"].isna()]
    codes = {text: _code(text) for text in rows["options"].unique()}
    rows = rows.assign(code=rows["options"].map(codes)).dropna(subset="code")
    keys, inequalities = [*CELL, *HYPERPARAMETERS], []
    ablated = (rows["code"] == "CIN").groupby([rows[name] for name in keys], dropna=False).transform("any")
    for key, group in rows[ablated].groupby(keys, dropna=False):
        cell_key = CellKey(*map(str, key[: len(CELL)]))
        scores = {str(code): np.log(of_code["score"].to_numpy()) for code, of_code in group.groupby("code")}
        repeated = {code: values for code, values in scores.items() if len(values) > 1}
        if "CIN" not in repeated:
            continue
        others = [code for code in CODES if code in repeated]
        for code in others:
            inequalities.append(_repeats(cell_key, repeated, ("CIN", code), 0.0, below=False, part="CIN is worst"))
        for code, below in itertools.product(others, (True, False)):
            if code != "DEF" and "DEF" in others:
                bound = math.log(1 + LITTLE) if below else -math.log(1 + LITTLE)
                inequalities.append(
                    _repeats(cell_key, repeated, (code, "DEF"), bound, below=below, part="others matter little")
                )
    return inequalities


def _code(options: str) -> str | None:
    """The ablation code of a trial's options; None if there are other options."""
    result = {"ablation": "DEF", **json.loads(options)}
    return str(result["ablation"]) if len(result) == 1 else None


def _repeats(
    cell_key: CellKey, scores: dict[str, Array], pair: tuple[str, str], bound: float, *, below: bool, part: str
) -> Inequality:
    a, b = (scores[code] for code in pair)

    def measure(level: float, least: float) -> Measurement | None:
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return Measurement(math.nan, -math.inf, math.inf, words="a seed has no score")
        return Measurement(*welch(a, b, level))

    return Inequality(
        cell_key=cell_key,
        part=part,
        a=pair[0],
        b=pair[1],
        n_a=len(a),
        n_b=len(b),
        statistic=f"{pair[0]} over {pair[1]}",
        below=below,
        bound=bound,
        measure=measure,
        show=change,
    )


def _cost(data: ClaimData) -> list[Inequality]:
    """Seconds per D update of complete trainings, by machine."""
    rows = timed_trainings(data.trials)
    rows = rows[(rows["status"] == FINISHED) & rows["variant"].isin([SN, GP])]
    rows = rows[(rows["training_seconds"] > 0) & (rows["loss"] == NS)]
    rows = rows.assign(log=np.log(rows["training_seconds"] / rows["discriminator_steps"]))
    inequalities = []
    keys = ["dataset", "architecture", "loss", "training", "machine", "width", "batch_size", "n_dis"]
    for key, group in rows.groupby(keys):
        named = dict(zip(keys, map(str, key), strict=True))
        cell_key = CellKey(*(named[name] for name in CELL))
        values = {str(variant): of["log"].to_numpy() for variant, of in group.groupby("variant")}
        if len(values) == 2:
            inequalities.append(
                _cheaper(cell_key, values[SN], values[GP], f"{named['machine']}, n_dis {named['n_dis']}")
            )
    return inequalities


def _cheaper(cell_key: CellKey, a: Array, b: Array, on: str) -> Inequality:
    def measure(level: float, least: float) -> Measurement | None:
        if least_quantile(min(len(a), len(b)), level_per_term(least)) > 0.5:
            return None
        times = " and ".join(f"{1e3 * math.exp(sample_quantile(values, 0.5)):.3g}" for values in (a, b))
        return Measurement(*quantile_sum([(1, a, 0.5), (-1, b, 0.5)], level), words=f"{times} ms on {on}")

    return Inequality(
        cell_key=cell_key,
        a=label(SN),
        b=label(GP),
        n_a=len(a),
        n_b=len(b),
        statistic="median time per D update, SN over GP",
        below=True,
        measure=measure,
        show=change,
    )


def _seeds(data: ClaimData) -> list[Inequality]:
    """The relative range of a setting over its seeds; inf if some seeds have no score, excluded if all have none."""
    rows = data.trainings
    groups = rows.groupby([*SETTING, "training"], dropna=False)["score"]
    result = groups.agg(["size", "count", "min", "median", "max"]).reset_index()
    result = result[(result["size"] > 1) & (result["count"] > 0)]
    span = ((result["max"] - result["min"]) / result["median"]).where(result["count"] == result["size"], math.inf)
    result = result.assign(span=span.fillna(0.0))  # all seeds at 0
    return [
        _range(CellKey(*map(str, key)), group["span"].to_numpy())
        for key, group in result.groupby(["dataset", "architecture", "training"])
    ]


def _range(cell_key: CellKey, spans: Array) -> Inequality:
    def measure(level: float, least: float) -> Measurement | None:
        if least_quantile(len(spans), least) > 0.5:
            return None
        return Measurement(*quantile(spans, 0.5, level))

    return Inequality(
        cell_key=cell_key,
        n_a=len(spans),
        statistic="median over settings of the relative range over seeds",
        below=False,
        bound=NOTHING,
        measure=measure,
        show=percent,
    )


C7 = Claim(
    id="C7",
    statement="Training longer helps models with gradient penalty.",
    test="Median of paired changes of the final score, the same trial about twice as long; final, since the best of "
    "more checkpoints is lower by that alone. By order statistics.",
    needs="trials of gradient_penalty and the same ones about twice as long; `study run long-training`",
    paper="Stated in words for 100,000 further steps (section 3.1).",
    inequalities=_longer,
)
C13 = Claim(
    id="C13",
    statement="Variants of the residual architecture matter little; CIN alone is worst.",
    test=f"CIN above each other code, and each other one within {percent(LITTLE)} of DEF; mean log scores over seeds, "
    "by Welch.",
    needs="the codes of resnet_cifar with two seeds or more; `study run resnet-ablation`",
    paper="Stated in words (appendix D); the bars of Figure 7 were not at hand.",
    inequalities=_ablation,
    parts=("CIN is worst", "others matter little"),
)
C19 = Claim(
    id="C19",
    statement="Spectral norm costs less time per discriminator update than the gradient penalty.",
    test="Ratio of median times per D update at one architecture, machine, width, batch size and n_dis; by order "
    "statistics of their logarithms. Machines that do other things besides blur it.",
    needs="trainings of spectral_norm and gradient_penalty at one n_dis on one machine",
    paper="Stated in the texts that accompany the study, without a figure.",
    inequalities=_cost,
)
C20 = Claim(
    id="C20",
    statement="The same setting trained twice differs.",
    test="Median over settings of the range of scores over seeds, relative to their median, above 0; by order "
    "statistics.",
    needs="settings with two seeds or more",
    paper="Stated in the slides; published twins differ by 1.3 % and 6.5 %.",
    inequalities=_seeds,
)
