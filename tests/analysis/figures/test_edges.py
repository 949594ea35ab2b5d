"""Figures of trainings and their pairs on what studies come to at worst: each is drawn, or says what it takes."""

import shutil

import pytest

from analysis.figures import NotEnough, figures
from analysis.figures.drawing.files import save
from analysis.rows.scores import FINAL, SETTINGS
from analysis.rows.view import open_rows
from study.core.trial import Method
from study.storage.schema import DIVERGED, FAILED

NAMES = ("training", "diagnostics", "agreement", "cost", "ablation")


def drawn(rows, name, folder):
    """Whether the figure is drawn; where it is not, the reason is one sentence."""
    kind = figures()[name]
    reason = None
    try:
        frames = kind.compute(rows)
    except NotEnough as error:
        reason = str(error)
    if reason is not None:
        assert reason.endswith(".") and "\n" not in reason
        return False
    return save(kind.draw(frames, kind.caption(rows, frames)), folder / f"{name}.svg").stat().st_size > 1000


@pytest.mark.parametrize("name", NAMES)
def test_all_diverged(study, methods, name, tmp_path):
    for method in methods.values():
        study.add_many(method, [DIVERGED, FAILED, DIVERGED])
    assert drawn(open_rows(study.compact()), name, tmp_path) == (name in ("cost", "ablation"))


@pytest.mark.parametrize("name", NAMES)
def test_one_training_of_one_method(study, name, tmp_path):
    study.add(Method(architecture="sndcgan"), [3.0, 2.0])
    assert drawn(open_rows(study.compact()), name, tmp_path) == (name in ("training", "cost"))


@pytest.mark.parametrize("name", NAMES)
def test_methods_of_ones_own_and_other_rules_and_pools(study, methods, name, tmp_path):
    study.add_many(methods["none"], [[10, 11], [12, 13]])
    study.add_many(Method(architecture="my_net", loss="my_loss", penalty="my_penalty"), [[10, 11], DIVERGED])
    study.add_many(Method(architecture="sndcgan", normalizations=("my_norm",)), [[10, 11], [5, 6]])
    rows = open_rows(study.compact(), rule=FINAL, pool=SETTINGS)
    assert drawn(rows, name, tmp_path) == (name in ("training", "cost", "ablation"))


@pytest.mark.parametrize("name", NAMES)
def test_a_parquet_file_alone(study, methods, name, tmp_path):
    study.add_many(methods["none"], [[10, 11], [12, 13]])
    study.add_many(methods["dragan"], [[10, 11], [12, 13]])
    alone = shutil.copy(study.compact() / "trials.parquet", tmp_path)
    assert drawn(open_rows(alone), name, tmp_path) == (name in ("cost", "ablation"))
