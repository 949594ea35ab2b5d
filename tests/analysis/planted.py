"""Studies made up in memory, whose claims are true or false by design: frames of the real schema, without files.

A world says how each method scores: the median and the spread of its log scores, and how many trainings diverge.
"""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.rows.view import Rows
from study.storage.schema import DIVERGED, EVALUATIONS, FINISHED, INCEPTION_SHA256, MEMBERSHIPS, TRIALS

CODES = ("DEF", "RES", "CIN", "OPT", "CIN_OPT", "SUM", "TAN", "EPS", "ALL")
SEEDS = 4
ABLATED = 2e-4
"""The learning rate of the ablation, and of no other trial."""
LABELS = ["architecture", "loss", "normalizations", "penalty", "n_dis", "penalty_weight", "method"]
DEFAULTS: dict[str, Any] = {
    "protocol_id": "p" * 16,
    "dataset": "cifar10",
    "architecture": "sndcgan",
    "loss": "non_saturating",
    "normalizations": "",
    "penalty": None,
    "constraint": None,
    "options": "{}",
    "learning_rate": 1e-3,
    "beta1": 0.5,
    "beta2": 0.9,
    "n_dis": 1,
    "penalty_weight": None,
    "discriminator_steps": 200,
    "width": 16,
    "batch_size": 64,
    "latent_dim": 128,
    "precision": "float32",
    "data_seed": 547,
    "seed": 0,
    "status": FINISHED,
    "source": "training",
    "resumptions": 0,
    "extractor": "inception-v3-compat",
    "weights_sha256": INCEPTION_SHA256,
    "n_real": 10_000,
    "n_fake": 10_000,
    "split": "test",
    "quantize": False,
    "dataset_sha256": "d" * 64,
    "training_seconds": 10.0,
    "device": "cpu",
    "semantics": 1,
}


@dataclass(frozen=True, kw_only=True)
class Box:
    """How a method scores: median, standard deviation of the log over settings, share that diverges, seconds."""

    median: float
    sigma: float = 0.08
    diverged: float = 0.0
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True)
class World:
    """What is true.

    Attributes:
        boxes: (architecture, loss, normalizations, penalty, n_dis) -> how it scores.
        seed_noise: standard deviation of the log score over seeds of a setting.
        longer: factor of the final score of a training twice as long.
        codes: factor of each ablation code.
        kid_noise: standard deviation of the log of the kernel distance.
        definition: factor of the score under other protocols.
        baseline: FID between the splits of cifar10.
    """

    boxes: Mapping[tuple[str, str, str, str | None, int], Box]
    seed_noise: float = 0.05
    longer: float = 0.8
    codes: Mapping[str, float] = field(default_factory=dict)
    kid_noise: float = 0.0
    definition: float = 1.0
    baseline: float = 5.19


def _of(architecture: str, loss: str, **boxes: Box | tuple[Box, ...]) -> dict[Any, Box]:
    """The boxes of one architecture and loss, by method; of GP one for each n_dis."""
    parts = {
        "none": ("", None),
        "sn": ("spectral_norm", None),
        "ln": ("layer_norm", None),
        "bn": ("batch_norm", None),
        "l2": ("", "l2"),
        "gp": ("", "gradient_penalty"),
        "gp5": ("", "gradient_penalty"),
        "sn_gp": ("spectral_norm", "gradient_penalty"),
        "ln_gp": ("layer_norm", "gradient_penalty"),
    }
    return {(architecture, loss, *parts[name], 5 if name == "gp5" else 1): box for name, box in boxes.items()}


A = World(
    boxes={
        **_of(
            "sndcgan",
            "non_saturating",
            none=Box(median=50),
            sn=Box(median=30, seconds=15),
            ln=Box(median=35),
            bn=Box(median=40),
            l2=Box(median=40),
            gp=Box(median=60, sigma=0.02),
            gp5=Box(median=80, seconds=10),
            sn_gp=Box(median=29.5),
            ln_gp=Box(median=31),
        ),
        **_of("sndcgan", "least_squares", none=Box(median=52), sn=Box(median=32), gp5=Box(median=150)),
        **_of("sndcgan", "hinge", none=Box(median=50.2), sn=Box(median=30.2)),
        **_of("resnet_cifar", "non_saturating", none=Box(median=60), sn=Box(median=33)),
    },
    codes={"RES": 1.4, "TAN": 1.5},
    kid_noise=0.2,
    definition=1.01,
    baseline=6.2,
)
"""In it C1, C5 to C10, C15, C16 and C20 are true, and the others false."""
TRUE_IN_A = {"C1", "C5", "C6", "C7", "C8", "C9", "C10", "C15", "C16", "C20"}

_B_BOXES = {
    **_of(
        "sndcgan",
        "non_saturating",
        none=Box(median=50),
        sn=Box(median=60, sigma=0.02, seconds=5),
        ln=Box(median=55),
        bn=Box(median=65),
        l2=Box(median=56),
        gp=Box(median=48, sigma=0.35),
        gp5=Box(median=18),
        sn_gp=Box(median=70),
        ln_gp=Box(median=70),
    ),
    **_of("sndcgan", "least_squares", none=Box(median=52), sn=Box(median=62), gp5=Box(median=33)),
    **_of("sndcgan", "hinge", none=Box(median=60), sn=Box(median=75)),
    **_of("resnet_cifar", "non_saturating", none=Box(median=60), sn=Box(median=90)),
}
B = World(
    boxes={place: replace(box, diverged=0.15) for place, box in _B_BOXES.items()},
    seed_noise=0.0,
    longer=1.25,
    codes={"CIN": 1.5},
    definition=1.3,
)
"""The effects of A, swapped: what is true there is false here."""


def planted(world: World, *, settings: int = 150, seed: int = 0, folder: Path | None = None) -> Rows:
    """A study of this world: so many settings per method, each with some seeds.

    `folder`: where its baseline goes on record; without one it has none.
    """
    rng = np.random.default_rng(seed)
    pools = [
        _pool(rng, world, box, settings, architecture=a, loss=loss, normalizations=n, penalty=p, n_dis=n_dis)
        for (a, loss, n, p, n_dis), box in world.boxes.items()
    ]
    pools.append(_longer(rng, world, pd.concat(pools)))
    pools.append(_ablation(rng, world))
    trials = finished(pd.concat(pools, ignore_index=True))
    second, third = (trials.assign(protocol_id=letter * 16, n_fake=n) for letter, n in (("q", 5_000), ("r", 2_000)))
    for other in (second, third):
        other["best_frechet_distance"] *= world.definition * np.exp(rng.normal(0, 0.002, len(trials)))
    if folder is not None:
        first = trials.iloc[0]
        same = ("dataset", "protocol_id", "dataset_sha256", "extractor", "weights_sha256", "split")
        found = {name: first[name] for name in same}
        found |= {"n_real": 10_000, "n_other": 10_000, "frechet_distance": world.baseline}
        (folder / "baselines.json").write_text(json.dumps([found]))
    everything = pd.concat([trials, second, third])
    return rows_of(trials, everything=everything, kid_noise=world.kid_noise, rng=rng, folder=folder)


def _pool(rng: np.random.Generator, world: World, box: Box, settings: int, **same: Any) -> pd.DataFrame:
    """The trainings of one method."""
    n, alike = settings * SEEDS, SEEDS if world.seed_noise == 0 else 1
    log = np.repeat(rng.normal(np.log(box.median), box.sigma, settings), SEEDS) + rng.normal(0, world.seed_noise, n)
    return pd.DataFrame(
        {
            "learning_rate": np.repeat(rng.permutation(settings) * 1e-6 + 1e-3, SEEDS),
            "seed": np.tile(np.arange(SEEDS), settings),
            "score": np.where(np.repeat(rng.random(n // alike), alike) < box.diverged, np.nan, np.exp(log)),
            "training_seconds": box.seconds * np.exp(rng.normal(0, 0.05, n)),
            "penalty_weight": 10.0 if same["penalty"] else np.nan,
            **same,
        }
    )


def _longer(rng: np.random.Generator, world: World, trials: pd.DataFrame) -> pd.DataFrame:
    """The trainings of GP under NS, twice as long."""
    chosen = (trials["penalty"] == "gradient_penalty") & (trials["normalizations"] == "")
    rows = trials[chosen & (trials["loss"] == "non_saturating")].copy()
    rows["score"] *= world.longer * np.exp(rng.normal(0, 0.02, len(rows)))
    return rows.assign(discriminator_steps=400, training_seconds=2 * rows["training_seconds"])


def _ablation(rng: np.random.Generator, world: World) -> pd.DataFrame:
    """Twenty seeds of each code."""
    made = pd.DataFrame(itertools.product(CODES, range(20)), columns=["code", "seed"])
    noise = np.exp(rng.normal(0, 0.02, len(made)))
    score = 30 * made["code"].map(lambda code: world.codes.get(code, 1.0)) * noise
    options = made["code"].map(lambda code: "{}" if code == "DEF" else json.dumps({"ablation": code}))
    same = {"architecture": "resnet_cifar", "loss": "non_saturating", "normalizations": "spectral_norm", "n_dis": 5}
    return pd.DataFrame({"seed": made["seed"], "score": score, "options": options, "learning_rate": ABLATED, **same})


def finished(made: pd.DataFrame) -> pd.DataFrame:
    """Rows of trials.parquet from columns of it and `score`, which is NaN where a trial diverged."""
    rows = made.assign(**{name: made.get(name, value) for name, value in DEFAULTS.items()})
    for name, value in DEFAULTS.items():
        if value is not None:
            rows[name] = rows[name].where(rows[name].notna(), value).astype(type(value))
    diverged = rows["score"].isna()
    rows["status"] = rows["status"].where(~diverged, DIVERGED)
    for name in ("best", "final"):
        rows[f"{name}_frechet_distance"] = rows["score"]
        rows[f"{name}_step"] = rows["discriminator_steps"].where(~diverged)
    parts = [
        rows["loss"].where(rows["loss"] != "non_saturating", ""),
        rows["normalizations"],
        rows["penalty"].fillna(""),
    ]
    names = parts[0].str.cat(parts[1:], sep="+").str.replace(r"\++", "+", regex=True).str.strip("+").replace("", "none")
    rows["method"] = names.where(rows["options"] == "{}", names + "[" + rows["options"] + "]")
    rows["trial_id"] = [f"{number:016x}" for number in range(len(rows))]
    return rows.reindex(columns=TRIALS.names)


def shuffled(rows: Rows, rng: np.random.Generator) -> Rows:
    """The same trainings with their labels drawn anew: no method, loss, architecture or length is better than another.

    The labels of plain trials are permuted, and the codes of the ablation; a longer training is its twin with noise.
    """
    trials = rows.trials.copy()
    ablation = (trials["learning_rate"] == ABLATED).to_numpy()
    plain = (~ablation & (trials["discriminator_steps"] == 200)).to_numpy().nonzero()[0]
    for chosen, columns in ((plain, LABELS), (ablation.nonzero()[0], ["options"])):
        labels = trials[columns].iloc[rng.permutation(chosen)]
        trials.loc[trials.index[chosen], columns] = labels.to_numpy()
    gp = plain[((trials["penalty"] == "gradient_penalty") & (trials["normalizations"] == "")).to_numpy()[plain]]
    short, longer = (trials.iloc[gp].assign(discriminator_steps=steps) for steps in (200, 400))
    scores = short["final_frechet_distance"].to_numpy() * np.exp(rng.normal(0, 0.1, (2, len(gp))))
    short["final_frechet_distance"], longer["final_frechet_distance"] = scores
    longer["trial_id"] += "-longer"
    rest = trials[(trials["discriminator_steps"] == 200).to_numpy()].drop(index=short.index)
    return rows_of(pd.concat([rest, short, longer], ignore_index=True))


def rows_of(
    trials: pd.DataFrame,
    *,
    everything: pd.DataFrame | None = None,
    kid_noise: float | None = None,
    rng: np.random.Generator | None = None,
    folder: Path | None = None,
    members: Mapping[str, Iterable[str]] | None = None,
    **how: Any,
) -> Rows:
    """The trials as `open_rows` would give them, with a checkpoint each that has a kernel distance.

    `members`: of spaces, the ids of trials that belong to each.
    """
    said = [{"space": space, "trial_id": trial_id} for space, ids in (members or {}).items() for trial_id in ids]
    every = trials if everything is None else everything
    table = pd.DataFrame(said, columns=MEMBERSHIPS.names)
    rows = Rows(trials=trials, everything=every, members=table, folder=folder, **how)
    checkpoints = trials[["trial_id", "protocol_id"]].assign(
        discriminator_step=trials["best_step"], frechet_distance=trials["best_frechet_distance"]
    )
    if kid_noise is not None and rng is not None:
        noise = np.exp(rng.normal(0, kid_noise, len(trials)))
        checkpoints["kernel_distance"] = checkpoints["frechet_distance"] ** 1.5 / 1000 * noise
    rows.__dict__["checkpoints"] = checkpoints.reindex(columns=EVALUATIONS.names)
    return rows
