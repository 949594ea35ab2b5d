"""Searches round by round against numbers worked out by hand, and random search against every possible draw."""

import itertools
import math

import pytest
from matplotlib.text import Text

from analysis import load, search_report, select
from analysis.figures.hyperparameters.bo import round_figure
from analysis.frames.hyperparameters.random_search import best_of
from analysis.frames.hyperparameters.searches import search_trials
from analysis.tables import plain_table, search_words
from study.core.errors import InputError
from study.storage.memberships import add_memberships
from study.storage.schema import DIVERGED, FAILED, STOPPED

ROUNDS = [[50.0, DIVERGED, 40.0], [45.0, 30.0, FAILED], [35.0, DIVERGED, DIVERGED]]


def texts(made):
    figure = round_figure(made.trials, made.rounds, made.random, made.caption)
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


def test_rounds_by_hand(study):
    name = study.search(ROUNDS)
    rounds = search_report(study.folder).rounds
    columns = ["search", "round", "trials", "scored", "diverged", "failed", "trials_so_far", "best", "best_so_far"]
    assert rounds[columns].to_numpy().tolist() == [
        [name, 1, 3, 2, 1, 0, 3, 40.0, 40.0],
        [name, 2, 3, 2, 0, 1, 6, 30.0, 30.0],
        [name, 3, 3, 1, 2, 0, 9, 35.0, 30.0],
    ]
    assert rounds.iloc[0][["dataset", "architecture", "method", "n_dis", "sampler"]].tolist() == [
        "digits",
        "sndcgan",
        "none",
        1,
        "gp-bucb",
    ]


def test_trials_come_as_they_were_proposed(study):
    study.search(ROUNDS)
    study.compact()
    trials = search_report(study.folder).trials
    assert [round(rate * 1e5) for rate in trials["learning_rate"]] == list(range(1, 10))
    assert trials["number"].tolist() == list(range(1, 10))
    assert trials["best_so_far"].tolist() == [50, 50, 40, 40, 30, 30, 30, 30, 30]


def test_chosen_setting_is_the_first_best_trial(study):
    study.search([[50.0, 30.0], [30.0, DIVERGED]])
    made = search_report(study.folder)
    (chosen,) = made.chosen.to_dict("records")
    assert (chosen["score"], chosen["learning_rate"], chosen["trials"], chosen["rounds"]) == (30.0, 2e-5, 4, 2)
    assert chosen["trial_id"] == made.trials["trial_id"][1]
    assert chosen["setting"] == "lr=2e-5 β=(0.5, 0.9) n_dis=1"


def test_stopped_trials_are_counted_and_never_best(study):
    study.search([[50.0, 60.0]], early=True)
    stopped = study.add(score=[1.0, 2.0], status=STOPPED, learning_rate=0.5)
    name = search_report(study.folder).trials["search"][0]
    add_memberships(study.folder, "bo", name, [stopped], round=2)
    made = search_report(study.folder)
    assert made.rounds[["stopped", "best_so_far"]].to_numpy().tolist() == [[0, 50.0], [1, 50.0]]
    assert math.isnan(made.rounds["best"][1])
    assert "1 stopped early and so without a score" in made.caption


def test_half_finished_rounds_count_what_has_a_row(study):
    name = study.search([[50.0, 40.0]])
    pending = [study.add(score=1.0, learning_rate=rate) for rate in (0.1, 0.2)]
    add_memberships(study.folder, "bo", name, pending, round=2)
    for trial in pending[:1]:
        next(study.folder.glob(f"parts/*/{trial.id}-*.json")).unlink()
    last = search_report(study.folder).rounds.iloc[-1]
    assert (last["proposed"], last["trials"], last["trials_so_far"], last["best_so_far"]) == (2, 1, 3, 1.0)


def test_searches_are_told_apart_by_what_they_do_not_share(study, methods):
    study.search([[3.0]], n_dis=5)
    study.search([[2.0]], n_dis=1)
    study.search([[1.0]], n_dis=1, sampler="tpe", seed=1)
    study.search([[1.0]], method=methods["spectral_norm"])
    trials = search_report(study.folder).trials
    assert list(zip(trials["label"], trials["line"], strict=True)) == [
        ("W/O", "n_dis 1, gp-bucb, seed 0"),
        ("W/O", "n_dis 1, tpe, seed 1"),
        ("W/O", "n_dis 5, gp-bucb, seed 0"),
        ("SN", "n_dis 1, gp-bucb, seed 0"),
    ]


def test_lengths_of_training_are_panels_of_their_own(study):
    study.search([[3.0]])
    study.search([[2.0]], steps=500)
    found = search_report(study.folder)
    assert set(found.rounds["label"]) == {"W/O", "W/O, discriminator steps 500"}
    assert "; discriminator steps 250 unless a label says otherwise." in found.caption


def test_names_are_those_that_study_bo_gives():
    """The pattern is held to the writer of names, which analysis may not import."""
    from types import SimpleNamespace

    from analysis.frames.hyperparameters.random_search import NAME
    from search_spaces.ranges import random_settings
    from study.core.trial import Method, Training
    from study.driver.request import SearchOptions
    from study.driver.search.rounds import Search

    method = Method(architecture="sndcgan", penalty="dragan", options=(("dragan_noise", "gaussian"),))
    for early in (True, False):
        search = Search(
            method=method,
            n_dis=5,
            training=Training(discriminator_steps=1, width=8),
            block=random_settings((), 0),
            strategy=SearchOptions(sampler="random", seed=12, stop_early=early),
            context=SimpleNamespace(dataset="digits", protocol=SimpleNamespace(id="p")),
            shape=(8, 1),
        )
        said = NAME.search(search.name)
        assert (said["sampler"], said["proposals"], bool(said["early"])) == ("random", "12", early)


@pytest.mark.parametrize(
    "scores", [[5.0, 1.0, 4.0, 2.0, 3.0, 2.0], [7.0, math.nan, 3.0, math.nan, 5.0], [math.nan] * 3]
)
def test_best_of_random_settings_is_that_of_all_permutations(scores):
    curve = best_of(scores, 10).set_index("k")
    assert list(curve.index) == list(range(1, len(scores) + 1))
    values = [math.inf if math.isnan(score) else score for score in scores]
    for k in curve.index:
        best = sorted(min(order[:k]) for order in itertools.permutations(values))
        for name, percent in (("low", 5), ("median", 50), ("high", 95)):
            place = -(-percent * len(best) // 100) - 1
            assert curve.loc[k, name] == best[place], (k, name)


def test_quantiles_at_exact_shares_take_the_lower_score():
    """Of 20, one draw is at or below the lowest with probability 0.05, and at or below the tenth with 0.5, exactly."""
    curve = best_of([float(score) for score in range(1, 21)], 1)
    assert curve.iloc[0].tolist() == [1, 1, 10, 19]


def test_random_pool_holds_only_what_is_alike(study, methods):
    study.search([[9.0, 8.0]])
    study.random([6.0, DIVERGED, 4.0])
    study.search([[5.0]], sampler="random", first=10)
    study.search([[0.5]], sampler="random", early=True, steps=250, n_dis=1, seed=7)
    study.random([1.0], n_dis=5)
    study.random([1.0], method=methods["spectral_norm"])
    study.random([1.0], steps=500)
    study.add(score=0.1, seed=3)
    made = search_report(study.folder, searches=[row for row in names(study) if "gp-bucb" in row])
    assert made.random[["pool", "k", "low", "median", "high"]].to_numpy().tolist() == [
        [4, 1, 4.0, 5.0, math.inf],
        [4, 2, 4.0, 4.0, 6.0],
    ]
    (chosen,) = made.chosen.to_dict("records")
    assert (chosen["pool"], chosen["random_low"], chosen["random_median"], chosen["random_high"]) == (4, 4, 4, 6)
    assert "from 4 random settings" in made.caption


def names(study):
    return list(search_trials(select(load(study.folder)), study.folder)["search"].unique())


def test_settings_count_once_by_their_lowest_seed(study):
    study.search([[9.0]])
    study.random([6.0, 5.0], seed=0)
    study.random([1.0, 1.0], seed=1)
    assert search_report(study.folder).random["low"].tolist() == [5.0]
    assert search_report(study.folder).random["pool"].tolist() == [2]


def test_stopped_random_settings_are_not_in_the_pool(study):
    study.search([[9.0]])
    study.random([6.0, 5.0])
    trial = study.add(score=[1.0], status=STOPPED, learning_rate=0.5)
    add_memberships(study.folder, "ranges", "digits", [trial])
    assert search_report(study.folder).random["pool"].tolist() == [2]


def test_too_few_random_settings_are_said(study):
    study.search([[9.0, 8.0, 7.0]])
    study.random([6.0, 5.0])
    made = search_report(study.folder)
    assert math.isnan(made.chosen["random_median"][0])
    assert "only 2 settings" in plain_table(search_words(made.rounds, made.chosen))


def test_tables_show_doubling_rounds_counts_and_settings(study):
    study.search([[float(50 - number)] for number in range(6)])
    study.random([float(score) for score in range(1, 9)])
    made = search_report(study.folder)
    lines = plain_table(search_words(made.rounds, made.chosen)).splitlines()
    assert lines[0] == "digits: best FD (classifier) so far, by round"
    assert lines[1].split()[:5] == ["search", "1", "2", "4", "6"]
    assert lines[2].split() == ["W/O,", "n_dis", "1", "50.00", "49.00", "47.00", "45.00", "1.00", "[1.00,", "2.00]"]
    assert lines[6].split()[3:6] == ["6", "0", "0"]
    assert lines[6].endswith(made.chosen["trial_id"][0])
    assert "stopped" not in lines[5]


def test_figure_says_what_is_shown(study):
    study.search(ROUNDS)
    study.search(ROUNDS, n_dis=5)
    study.random([6.0, 5.0])
    made = search_report(study.folder)
    said = texts(made)
    for sentence in (
        "Bayesian trials are adaptive, not exchangeable",
        "digits: 18 trials, 6 diverged, 2 failed; searches: 2; FD (classifier), protocol",
        "median and 5-95 % band",
        "trials run",
        "random search, median",
        "n_dis 5",
    ):
        assert sentence in said
    assert "FID" not in said
    assert made.figure_path == study.folder / "figures" / "bo.png"
    assert made.figure_path.read_bytes().startswith(b"\x89PNG")


def test_lines_and_marks_are_those_of_the_frames(study):
    study.search(ROUNDS)
    made = search_report(study.folder)
    (ax,) = round_figure(made.trials, made.rounds, made.random, made.caption).axes
    step, dots = ax.lines
    assert step.get_xydata().tolist() == made.trials[["number", "best_so_far"]].to_numpy().tolist()
    assert step.get_drawstyle() == "steps-post"
    assert dots.get_xydata().tolist() == [[3, 40], [6, 30], [9, 30]]
    above = [x for points in ax.collections[1:] for x in points.get_offsets()[:, 0]]
    assert sorted(above) == [2, 6, 8, 9], "diverged and failed"


@pytest.mark.parametrize("rounds", [[[DIVERGED] * 2], [[5.0]], [[0.0, -1e-9]], [[1e6, 1.0]]])
def test_searches_of_any_outcome_are_drawn(study, rounds):
    study.search(rounds)
    made = search_report(study.folder)
    assert ("No trial has a score" in texts(made)) == (rounds == [[DIVERGED] * 2])


def test_no_search_and_unknown_search_are_refused(study):
    study.add(score=1.0)
    with pytest.raises(InputError, match="no search has a trial; run one with `study bo --results"):
        search_report(study.folder)
    assert not (study.folder / "figures").exists()
    study.search([[1.0]])
    with pytest.raises(InputError, match="search digits none: unknown"):
        search_report(study.folder, searches=["digits none"])
