"""`study spaces`, and every space through `study plan` and `study run`."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

import search_spaces
from study import data
from study.core.errors import InputError
from study.driver.planning.plan import make_plan
from study.driver.request import Selection
from study.driver.spaces.expand import expand
from study.storage.schema import FINISHED
from study.storage.tables import read_table
from tests.requests import make_request

COUNTS = {
    "architectures": (96, 480),
    "cifar": (288, 1440),
    "combinations": (288, 864),
    "grid": (120, 120),
    "long-training": (24, 120),
    "losses": (132, 660),
    "ranges": (1680, 1680),
    "regularization": (120, 600),
    "resnet-ablation": (9, 45),
    "smoke": (4, 4),
}
CIFAR = data.get("cifar10")


def settings(name, declared=CIFAR, **asked):
    return expand(search_spaces.get(name), declared, Selection(**asked))


@pytest.mark.parametrize("dataset", sorted(data.built_in()))
@pytest.mark.parametrize("name", COUNTS)
def test_counts(name, dataset):
    found = settings(name, data.get(dataset))
    assert (len(found), sum(setting.seeds for setting in found)) == COUNTS[name]


def test_all_spaces_are_counted():
    given = {name for name, space in search_spaces.spaces().items() if space.choose is None}
    assert {*COUNTS, "published"} == given == set(search_spaces.spaces()) - {"seeds"}
    assert [s.seeds for s in settings("published")] == [1] * 7 + [2, 1]


def test_the_list(study, tmp_path):
    answer = study("spaces", "--dataset", "cifar10", "--data-dir", tmp_path)
    assert (answer.code, answer.err) == (0, "")
    for name, space in search_spaces.spaces().items():
        assert f"{name}: {space.description}\n    {space.source}\n" in answer.out
    assert "    96 settings, 480 trials: cifar10\n" in answer.out
    assert "    9 settings, 10 trials: cifar10\n" in answer.out
    assert "    24 settings, 120 trials of 300,000 D updates: cifar10\n" in answer.out
    every = study("spaces", "--data-dir", tmp_path).out
    assert "    120 settings, 600 trials: celeba-hq-128, cifar10, digits, digits-32, lsun-bedroom-128\n" in every
    assert "    11 settings, 12 trials: celeba-hq-128\n" in every
    assert "    24 settings, 120 trials of 200,000 D updates: celeba-hq-128, lsun-bedroom-128\n" in every
    assert "    24 settings, 120 trials of 200 D updates: digits" in every
    long = study("spaces", "long-training", "--data-dir", tmp_path).out
    assert long.startswith("long-training on digits: 24 settings, 120 trials of 200 D updates; Section 3.1")
    assert "has nothing for digits" in study("spaces", "--dataset", "digits", "--data-dir", tmp_path).out
    for listed in (answer.out, every):
        assert "    taken from the best trials of a results folder: study plan seeds --results DIR\n" in listed
        assert listed.count("taken from the best trials") == 1


def test_the_settings_of_one(study, tmp_path):
    answer = study("spaces", "published", "--dataset", "cifar10", "--data-dir", tmp_path)
    assert answer.code == 0
    first, _, header, *rows = answer.out.splitlines()
    assert first.startswith("published on cifar10: 9 settings, 10 trials; tables of best parameters")
    assert header.split()[-2:] == ["seeds", "published_fid"]
    twins = ["resnet_cifar", "spectral_norm", "0.0002", "0.5", "0.999", "5", "-", "2", "22.91,", "23.22"]
    assert twins in [row.split() for row in rows]
    assert len(rows) == 9
    smoke = study("spaces", "smoke", "--data-dir", tmp_path).out.splitlines()
    assert smoke[0].startswith("smoke on digits: 4 settings, 4 trials")
    assert smoke[1] == "use --dataset to show the settings on celeba-hq-128, cifar10, digits-32, lsun-bedroom-128"
    assert smoke[4].split() == ["sndcgan", "none", "0.0002", "0.5", "0.999", "1", "-", "1"]
    assert study("spaces", "published", "--data-dir", tmp_path).out.startswith(
        "published on celeba-hq-128: 11 settings"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spaces", "gird"], "space gird: unknown; did you mean grid?"),
        (["spaces", "--dataset", "digit"], "--dataset digit: unknown; did you mean digits?"),
        (["spaces", "published", "--dataset", "digits"], "space published: has nothing for digits; it has entries for"),
        (
            ["spaces", "seeds"],
            "space seeds: its settings are chosen from a results folder; `study plan seeds --results",
        ),
        (["bo", "seeds"], "space seeds: its settings are chosen from a results folder; `study plan seeds --results"),
        (["plan", "published"], "space published: has nothing for digits; it has entries for"),
        (["plan", "resnet-ablation", "--architecture", "sndcgan"], "option ablation: only resnet_cifar reads it"),
        (["plan", "ranges", "--n-dis", "2"], "--n-dis 2: ranges has no such setting; it has [1, 5]."),
        (["plan", "architectures", "--methods", "spectral"], "--methods spectral: unknown; did you mean"),
    ],
)
def test_errors_are_one_line(study, tmp_path, arguments, message):
    answer = study(*arguments, "--data-dir", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("name", ["resnet-ablation", "cifar", "architectures", "published"])
def test_images_that_do_not_fit_resnet_cifar(name):
    declared = SimpleNamespace(name="cifar10", resolution=20, architecture="dcgan")
    with pytest.raises(InputError) as caught:
        settings(name, declared)
    assert str(caught.value).startswith(f"space {name} on cifar10: ")
    assert "20 px does not fit; it takes any multiple of 8 px." in str(caught.value)


def test_narrowing():
    assert {s.method.architecture for s in settings("architectures", architecture="sndcgan")} == {"sndcgan"}
    assert len(settings("architectures", methods="spectral_norm")) == 2 * 12
    assert len(settings("architectures", methods="none,hinge", settings=1)) == 2 * 2
    assert {s.seeds for s in settings("losses", seeds=2)} == {2}
    assert len(settings("combinations", n_dis=1)) == 6 * (6 + 12)
    assert {s.seeds for s in settings("published", seeds=3)} == {3}
    assert {s.method.architecture for s in settings("published", n_dis=5)} == {"resnet_cifar"}
    assert len(settings("published", architecture="sndcgan")) == 5
    assert len(settings("published", methods="spectral_norm")) == 2 + 1
    assert [s.published for s in settings("published", methods="spectral_norm", n_dis=5)] == [(22.91, 23.22)]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"architecture": "dcgan"}, "--architecture dcgan: published has only resnet_cifar, sndcgan on cifar10"),
        (
            {"methods": "none,hinge"},
            "--methods hinge: published has no such method on cifar10; it has none, spectral_norm",
        ),
        ({"methods": "spectral_norm", "n_dis": 2}, r"--n-dis 2: published has no such setting; it has \[1, 5\]"),
    ],
)
def test_what_was_not_published(asked, message):
    with pytest.raises(InputError, match=message):
        settings("published", **asked)


def plan(name, tmp_path, **asked):
    asked = {"datasets": ["digits"], "results": tmp_path / "results", "data_dir": tmp_path / "data", **asked}
    return make_plan(make_request(**asked), search_spaces.get(name))


def test_plans_share_trials_by_id(tmp_path):
    """The grid's members are the same trials in other spaces; an ablation's DEF is plain spectral norm."""
    grid = {planned.trial.id for planned in plan("grid", tmp_path)}
    for name, shared in (("regularization", 120), ("losses", 48), ("architectures", 48), ("cifar", 48), ("smoke", 4)):
        found = [planned.trial for planned in plan(name, tmp_path)]
        assert len(found) == len({trial.id for trial in found}) == COUNTS[name][1]
        assert len(grid & {trial.id for trial in found}) == shared
    ablation = {planned.trial.method.name: planned.trial for planned in plan("resnet-ablation", tmp_path)}
    assert len(ablation) == 9
    plain = plan("architectures", tmp_path, methods="spectral_norm", seeds=5)
    assert ablation["spectral_norm"].id in {planned.trial.id for planned in plain}


def test_entries_are_planned_with_a_seed_for_each_score(tmp_path):
    """As on cifar10, on images that are at hand; a published model of the grid is the grid's trial."""
    published = search_spaces.get("published")
    entries = tuple(replace(entry, dataset="digits") for entry in published.on("cifar10").blocks)
    request = make_request(datasets=["digits"], results=tmp_path / "results", data_dir=tmp_path / "data")
    trials = [planned.trial for planned in make_plan(request, replace(published, blocks=entries))]
    assert len({trial.id for trial in trials}) == len(trials) == 10
    assert [(t.seed, t.method.architecture, t.method.name) for t in trials if t.seed] == [
        (1, "resnet_cifar", "spectral_norm")
    ]
    grid = {planned.trial.id for planned in plan("grid", tmp_path)}
    assert len(grid & {trial.id for trial in trials}) == 4  # sndcgan, plain and with spectral norm, at two rates


def test_a_plan_of_two_architectures_tells_them_apart(study, tmp_path):
    where = "--results", tmp_path / "results", "--data-dir", tmp_path / "data"
    answer = study("run", "architectures", "--dry-run", *where)
    assert answer.code == 0, answer.err
    assert "architectures on digits: 480 trials, 0 done, 480 to run" in answer.out
    assert ["none", "on", "sndcgan", "60", "60"] in [line.split() for line in answer.out.splitlines()]
    rows = [line.split() for line in study("plan", "architectures", *where).out.splitlines()]
    assert ["architectures", "digits", "none", "on", "sndcgan", "60", "60"] in [row[:7] for row in rows]
    assert ["all", "480", "480"] in [row[:3] for row in rows]


@pytest.mark.slow
def test_smoke_runs(study, tmp_path):
    folder = tmp_path / "results"
    answer = study("run", "smoke", "--discriminator-steps", 2, "--results", folder, "--data-dir", tmp_path / "data")
    assert answer.code == 0, answer.err
    rows = read_table(folder, "trials").to_pylist()
    assert [row["status"] for row in rows] == [FINISHED] * 4
