"""What studies come to at worst: each figure, table and claim is there, or one sentence says what it takes."""

import math
import warnings
from itertools import cycle, product

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analysis.claims import DOES_NOT_HOLD, NOT_ENOUGH, NOT_RESOLVED, judge
from analysis.figures import NotEnough, figures
from analysis.figures.drawing.files import save
from analysis.rows.scores import FINAL, SETTINGS
from analysis.rows.view import open_rows
from analysis.tables import tables
from study.core.trial import Method
from study.storage.schema import DIVERGED, FAILED, FINISHED
from tests.conftest import quick_only

INF = 1e30
"""Stands for an infinite score, which the writer refuses."""
MINE = Method(
    architecture="my_net", loss="my_loss", normalizations=("my norm & co",), penalty="my_penalty", constraint="<my>_$x$"
)


def all_diverged(study):
    study.add_many(Method(architecture="sndcgan"), [DIVERGED, FAILED, DIVERGED])
    study.add_many(Method(architecture="sndcgan", penalty="dragan"), [DIVERGED])


def one_training(study):
    study.add(Method(architecture="sndcgan"), [3.0, 2.0])


def one_seed_of_each_method(study):
    study.add(Method(architecture="sndcgan"), [3.0, 2.0])
    study.add(Method(architecture="sndcgan", normalizations=("spectral_norm",)), [4.0, 1.0])


def infinite_scores(study):
    study.add_many(Method(architecture="sndcgan"), [[INF, INF], [INF, 3.0], [2.0, INF]])
    study.add_many(Method(architecture="sndcgan", penalty="dragan"), [[INF], [INF]])


def no_finite_score(study):
    study.add_many(Method(architecture="sndcgan"), [[INF], [INF]])


def scores_of_zero(study):
    study.add_many(Method(architecture="sndcgan"), [[0.0, 0.0]] * 8)
    study.add_many(Method(architecture="sndcgan", penalty="dragan"), [[0.0, 0.0]] * 8)


def names_of_ones_own(study):
    study.add_many(Method(architecture="sndcgan"), [[10, 11], [12, 13]])
    study.add_many(MINE, [[10, 11], DIVERGED, [5, 4]])


def stopped_but_for_one(study):
    study.add_many(Method(architecture="sndcgan"), [[10.0], [11.0]], status="stopped")
    study.add(Method(architecture="sndcgan"), [12.0], seed=7, status=FINISHED)


WORLDS = (
    all_diverged,
    one_training,
    one_seed_of_each_method,
    infinite_scores,
    no_finite_score,
    scores_of_zero,
    names_of_ones_own,
    stopped_but_for_one,
)
HOW = ({}, {"rule": FINAL, "pool": SETTINGS, "level": 0.5, "fraction": 1.0})


def opened(study, **how):
    """The rows, with infinities as other writers may leave them."""
    folder = study.compact()
    for name in ("trials", "evaluations"):
        path = folder / f"{name}.parquet"
        table = pq.read_table(path)
        for column in [each for each in table.column_names if each.endswith("frechet_distance")]:
            values = pc.if_else(pc.equal(table[column], INF), math.inf, table[column])
            table = table.set_column(table.column_names.index(column), table.schema.field(column), values)
        pq.write_table(table, path)
    return open_rows(folder, **how)


def computed(kind, rows):
    """What the kind computes; None where it says in one sentence what it takes."""
    said = ""
    try:
        return kind.compute(rows)
    except NotEnough as reason:
        said = str(reason)
    assert said.endswith(".") and "\n" not in said
    return None


QUICK = list(zip(WORLDS, cycle(HOW), strict=False))[::2]
"""Every second world, each seen in one way."""


@pytest.mark.parametrize(("world", "how"), quick_only(product(WORLDS, HOW), QUICK))
def test_every_figure_is_drawn_or_says_what_it_takes(study, world, how, tmp_path):
    world(study)
    rows = opened(study, **how)
    made = 0
    for name, kind in figures().items():
        if (frames := computed(kind, rows)) is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                warnings.simplefilter("error", UserWarning)
                path = save(kind.draw(frames, kind.caption(rows, frames)), tmp_path / f"{name}.svg")
            assert path.stat().st_size > 1000
            made += 1
    assert made


@pytest.mark.parametrize(("world", "how"), quick_only(product(WORLDS, HOW), QUICK))
def test_every_table_has_lines_or_says_what_it_takes(study, world, how):
    world(study)
    rows = opened(study, **how)
    for name, kind in tables().items():
        if (table := computed(kind, rows)) is not None:
            blocks = list(kind.words(table))
            assert blocks, name
            for _, cells in blocks:
                assert {len(column) for column in cells.values()} == {len(next(iter(cells.values())))} != {0}
                assert all(isinstance(cell, str) and cell != "nan" for column in cells.values() for cell in column)
            assert kind.caption(rows, table)


@pytest.mark.parametrize("world", WORLDS)
def test_no_claim_holds_on_next_to_nothing(study, world):
    world(study)
    judged = judge(opened(study))
    assert len(judged) == 20
    assert set(judged["verdict"]) <= {NOT_ENOUGH, NOT_RESOLVED, *([DOES_NOT_HOLD] if world is scores_of_zero else [])}
