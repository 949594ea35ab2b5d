"""The exported storage, read by Optuna itself, against the rows."""

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from analysis import load
from study.storage.memberships import add_memberships
from study.storage.schema import DIVERGED, FAILED, STOPPED
from tests.analysis.conftest import DRAGAN, Study


@pytest.fixture
def made(tmp_path):
    """A search of two rounds with one diverged, one failed and one stopped trial, and two trials of DRAGAN."""
    made = Study(tmp_path / "results")
    name = made.search([[[9.0, 7.0], DIVERGED, 8.0], [6.0, FAILED]], n_dis=5)
    stopped = made.add(score=[3.0], status=STOPPED, learning_rate=0.5, n_dis=5)
    add_memberships(made.folder, "bo", name, [stopped], round=2)
    made.compact()
    made.add_many(DRAGAN, [5.0, 4.0])
    return made, name


def exported(study, folder, path, *arguments):
    answer = study("export", "--optuna", path, "--results", folder, *arguments)
    assert (answer.code, answer.err) == (0, "")
    return f"sqlite:///{path}", answer.out


def test_search_is_an_optuna_study_with_the_same_best_trial(study, made, tmp_path):
    rows, name = made
    url, said = exported(study, rows.folder, tmp_path / "new" / "a file, 100 %.db")
    assert "8 trials in 2 Optuna studies" in said
    loaded = optuna.load_study(study_name=name, storage=url)
    assert loaded.direction.name == "MINIMIZE"
    assert loaded.best_value == 6.0
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]
    assert [trial.state for trial in loaded.trials] == [*states, TrialState.PRUNED]
    assert loaded.trials[0].intermediate_values == {10: 9.0, 20: 7.0}
    assert loaded.trials[5].intermediate_values == {10: 3.0}
    row = load(rows.folder).set_index("trial_id").loc[loaded.best_trial.user_attrs["trial_id"]]
    params = {name: row[name] for name in ("learning_rate", "beta1", "beta2", "n_dis")}
    assert loaded.best_trial.params == params
    assert loaded.best_trial.user_attrs["round"] == 2
    assert loaded.trials[1].user_attrs["reason"] == "made so"
    assert "reason" not in loaded.trials[0].user_attrs
    assert loaded.trials[0].duration.total_seconds() == 60
    protocol = row["protocol_id"]
    assert loaded.user_attrs == {
        "score": "FD (classifier)",
        "protocol": f"{protocol} (classifier, 360 real and 360 generated images)",
    }


def test_other_trials_are_a_study_by_dataset_architecture_and_method(study, made, tmp_path):
    url, _ = exported(study, made[0].folder, tmp_path / "study.db")
    loaded = optuna.load_study(study_name="digits sndcgan dragan", storage=url)
    assert loaded.best_value == 4.0
    assert {trial.user_attrs["round"] for trial in loaded.trials} == {0}
    assert loaded.trials[0].distributions == {
        "learning_rate": FloatDistribution(1e-3, 1e-3, log=True),
        "beta1": FloatDistribution(0.5, 0.5),
        "beta2": FloatDistribution(0.9, 0.9),
        "penalty_weight": FloatDistribution(10, 10, log=True),
        "n_dis": IntDistribution(1, 1),
    }


def test_other_lengths_and_datasets_are_studies_of_their_own(study, made, tmp_path):
    rows, name = made
    rows.add(DRAGAN, 1.0, steps=500)
    rows.add(score=1.0, dataset="cifar10")
    url, _ = exported(study, rows.folder, tmp_path / "a.db")
    assert set(optuna.get_all_study_names(url)) == {
        name,
        "digits sndcgan dragan, discriminator steps 250",
        "digits sndcgan dragan, discriminator steps 500",
        "cifar10 sndcgan none",
    }
    url, _ = exported(study, rows.folder, tmp_path / "b.db", "--dataset", "cifar10")
    assert optuna.get_all_study_names(url) == ["cifar10 sndcgan none"]


def test_existing_file_is_refused_and_stays(study, made, tmp_path):
    path = tmp_path / "study.db"
    path.write_text("mine")
    answer = study("export", "--optuna", path, "--results", made[0].folder)
    assert answer.code == 2
    assert answer.err == f"--optuna {path}: exists already; remove it, or choose another file.\n"
    assert path.read_text() == "mine"


def test_nothing_is_left_where_nothing_can_be_written(study, made, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    answer = study("export", "--optuna", tmp_path / "file" / "study.db", "--results", made[0].folder)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "cannot be written" in answer.err
    monkeypatch.setattr(optuna.Study, "add_trials", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    folder = tmp_path / "empty"
    assert study("export", "--optuna", folder / "study.db", "--results", made[0].folder).code == 130
    assert list(folder.iterdir()) == []
