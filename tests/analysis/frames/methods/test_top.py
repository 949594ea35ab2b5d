"""The top fraction of hand-made studies against numbers worked out by hand."""

import math

import pytest

from analysis import BEST, FINAL, load, select, top_fraction, top_table
from analysis.figures import figures
from analysis.figures.drawing.captions import top_caption
from analysis.figures.drawing.style import COLOURS, colour
from analysis.frames.methods.top import setting
from analysis.rows.labels import method_label, paper_order
from analysis.rows.view import open_rows
from analysis.tables import plain_table, words
from study.core.errors import InputError
from study.core.trial import Method
from study.storage.schema import DIVERGED, STOPPED


def summary(study, **how):
    return top_table(top_fraction(select(load(study.folder)), **how)).set_index("method")


@pytest.mark.parametrize(
    ("n", "fraction", "k"),
    [(1, 0.05, 1), (12, 0.05, 1), (20, 0.05, 1), (21, 0.05, 2), (24, 0.05, 2), (100, 0.07, 7), (3, 1, 3)],
)
def test_k_is_the_ceiling(study, n, fraction, k):
    """0.07 * 100 is 7.000000000000001 in floating point: the ceiling is taken exactly."""
    frame = load_of(study, n)
    marked = top_fraction(frame, fraction)
    assert set(marked["k"]) == {k}
    assert marked["top"].sum() == k


def load_of(study, n):
    study.add_many(None, [float(score) for score in range(1, n + 1)])
    return load(study.folder)


def test_quartiles_and_counts_by_hand(small_study):
    table = summary(small_study, fraction=0.125)
    none = table.loc["W/O"]
    assert (none.trials, none.k, none.scored, none.diverged, none.failed) == (24, 3, 3, 1, 1)
    assert (none.q1, none["median"], none.q3, none.best) == (31.5, 32, 32.5, 31)
    assert table.loc["GP 5", ["trials", "k", "median"]].tolist() == [18, 3, 11]


def test_gradient_penalty_is_split_by_n_dis_and_others_are_not(small_study, methods):
    small_study.add_many(methods["dragan"], [7.0, 8.0], n_dis=1)
    small_study.add_many(methods["dragan"], [9.0], n_dis=5)
    table = summary(small_study)
    assert list(table.index) == ["W/O", "GP", "GP 5", "DR", "SN"], "in the order of the paper's Figure 1"
    assert (table.loc["GP", "trials"], table.loc["GP 5", "trials"], table.loc["DR", "trials"]) == (6, 18, 3)


def test_diverged_trials_rank_last_and_count(study):
    study.add_many(None, [DIVERGED] * 20 + [4.0])
    row = summary(study).loc["W/O"]
    assert (row.trials, row.k, row.scored, row.diverged, row["median"]) == (21, 2, 1, 20, 4.0)


def test_infinite_and_missing_scores_rank_last(study):
    study.add_many(None, [1.0, 2.0, 3.0, []])
    frame = load(study.folder)
    frame.loc[frame["best_frechet_distance"] == 1, "best_frechet_distance"] = math.inf
    marked = top_fraction(frame, 1)
    assert marked["score"].tolist()[:2] == [2.0, 3.0]
    assert marked["score"].isna().tolist() == [False, False, True, True]
    assert "2 finished without a score" in top_caption(marked)


def test_nothing_scored_gives_a_row_that_says_so(study):
    study.add_many(None, [DIVERGED] * 3)
    row = summary(study).loc["W/O"]
    assert (row.scored, row.diverged, row.best_trial_id) == (0, 3, None)
    assert math.isnan(row["median"])
    assert math.isnan(row.best)


def test_selection_rules_choose_other_trials(study):
    falling, rising = study.add(score=[9, 5], seed=0), study.add(score=[3, 8], seed=1)
    best, final = summary(study, rule=BEST).loc["W/O"], summary(study, rule=FINAL).loc["W/O"]
    assert (best.best, best.best_trial_id) == (3, rising.id)
    assert (final.best, final.best_trial_id) == (5, falling.id)
    assert FINAL.words in top_caption(top_fraction(load(study.folder), rule=FINAL))


def test_ties_are_broken_the_same_way_in_any_order(study):
    study.add_many(None, [1.0] * 5)
    frame = load(study.folder)
    chosen = [
        top_fraction(rows).query("top")["trial_id"].tolist() for rows in (frame, frame.iloc[::-1], frame.sample(frac=1))
    ]
    assert chosen[0] == chosen[1] == chosen[2]


def test_other_architectures_and_lengths_are_never_pooled(study):
    study.add(score=1.0)
    study.add(Method(architecture="resnet19"), 2.0)
    study.add(score=3.0, steps=500)
    assert set(summary(study).index) == {"W/O, sndcgan", "W/O, resnet19", "W/O, sndcgan, discriminator steps 500"}
    assert "; discriminator steps 250 unless a label says otherwise.\n" in top_caption(
        top_fraction(select(load(study.folder)))
    )


def test_scores_far_above_the_top_are_counted(study):
    study.add_many(None, [1.0, 2.0, 3.5, 100.0])
    assert summary(study).loc["W/O", "above"] == 2


def test_setting_reads_as_the_paper_writes_it(study, methods):
    study.add(methods["dragan"], 1.0, n_dis=5)
    study.add(methods["none"], 1.0)
    texts = {setting(row) for _, row in load(study.folder).iterrows()}
    assert texts == {"lr=1e-3 β=(0.5, 0.9) n_dis=5 λ=10", "lr=1e-3 β=(0.5, 0.9) n_dis=1"}


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, math.nan])
def test_fraction_out_of_range(study, fraction):
    study.add(score=1.0)
    with pytest.raises(InputError, match="above 0 and at most 1"):
        top_fraction(load(study.folder), fraction)


def test_labels_and_colours_are_one_per_term():
    assert method_label("wasserstein+spectral_norm+gradient_penalty") == "WGAN+SN+GP"
    assert method_label("my_own_norm[depth=2]") == "my own norm [depth=2]"
    assert colour("SN") == colour("SN, resnet19")
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert sorted(["my own norm", "L2", "GP 5", "W/O, a", "GP"], key=paper_order) == [
        "W/O, a",
        "GP",
        "GP 5",
        "L2",
        "my own norm",
    ]


def test_stopped_trials_are_kept_apart(study, methods):
    """20 trials that were not stopped make k = 1; with the stopped ones it would be 2."""
    study.add_many(methods["none"], [*[float(score) for score in range(1, 20)], DIVERGED])
    for seed in range(100, 103):
        study.add(methods["none"], [0.5], seed=seed, status=STOPPED)
    study.add(methods["spectral_norm"], [0.5], status=STOPPED)
    marked = top_fraction(load(study.folder))
    table = top_table(marked).set_index("method")
    assert table.loc["W/O", ["trials", "k", "scored", "diverged", "stopped", "best"]].tolist() == [20, 1, 1, 1, 3, 1.0]
    assert table.loc["SN", ["trials", "k", "scored", "stopped"]].tolist() == [0, 0, 0, 1]
    ranks = marked[marked["method"] == "none"].set_index("status")["rank"]
    assert ranks.loc[STOPPED].tolist() == [21, 22, 23], "after the diverged one"
    caption = top_caption(marked)
    assert "digits: 20 trials, 1 diverged, 0 failed;" in caption
    assert "4 more were stopped early and are left out, so that the others are a selection." in caption
    assert "stopped" in plain_table(words(table.reset_index())).splitlines()[1]


def test_studies_without_stopped_trials_say_nothing_of_them(small_study):
    marked = top_fraction(load(small_study.folder))
    assert "stopped" not in top_caption(marked) + plain_table(words(top_table(marked)))


@pytest.mark.full
def test_more_than_twelve_labels_take_several_lines_of_one_scale(study):
    for number in range(14):
        study.add_many(None, [1.0 + number, 20.0 + number], steps=100 * (number + 1))
    rows = open_rows(study.folder)
    kind = figures()["top"]
    frames = kind.compute(rows)
    axes = [ax for ax in kind.draw(frames, "caption").get_axes() if ax.axison]
    shown = [label.get_text().splitlines()[2] for ax in axes for label in ax.get_xticklabels()]
    assert len(axes) > 1 and len(shown) == 14 and len(set(shown)) == 14
    assert len({(*ax.get_xlim(), *ax.get_ylim()) for ax in axes}) == 1
    assert [ax.get_title(loc="left") for ax in axes][:2] == ["digits", "digits, continued"]
    assert kind.draw(frames, "caption").get_figwidth() <= 6.9
