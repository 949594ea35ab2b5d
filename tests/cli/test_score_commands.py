"""Kept generators and folders of images under other protocols, as a person asks for them."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from study import data
from study.storage.layout import generator_path
from study.storage.schema import KEPT_GENERATOR, SCORES, TRAINING
from study.storage.tables import compact, fill_scores, read_table, write_table
from tests.requests import make_request


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """(results, data) with two short trials, of which the second diverged."""
    from study.core.trial import Hyperparameters, Method
    from study.driver.planning import plan
    from study.worker.execute import execute

    folder = tmp_path_factory.mktemp("scored")
    request = make_request(
        datasets=["digits"], results=folder / "results", data_dir=folder / "data", discriminator_steps=6, n_fake=64
    )
    method = Method(architecture="sndcgan")
    for learning_rate in (1e-3, 1e30):
        numbers = Hyperparameters(learning_rate=learning_rate, beta1=0.5, beta2=0.9, n_dis=1)
        one = plan.plan_trial(request, method, numbers, 0)
        execute(one.trial, one.context)
    compact(folder / "results")
    return folder


@pytest.fixture
def folder(once, tmp_path):
    shutil.copytree(once, tmp_path / "all")
    return tmp_path / "all"


@pytest.fixture
def ask(study, folder):
    def ask(command, *arguments):
        where = ("--results", folder / "results", "--data-dir", folder / "data")
        return study(*command.split(), *arguments, *where)

    return ask


def trials(folder):
    return read_table(folder / "results", "trials").to_pylist()


def finished(folder):
    return next(row for row in trials(folder) if row["status"] == "finished" and row["source"] == TRAINING)


def evaluations(folder):
    return read_table(folder / "results", "evaluations").to_pylist()


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def save(folder, images):
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:04}.png")


def test_a_kept_generator_is_scored_under_another_protocol(ask, folder):
    before, rows = finished(folder), evaluations(folder)
    answer = ask("evaluate", before["trial_id"][:6], "--protocol", "rounded", "--n-fake", 64, "--metrics", "all")
    assert answer.code == 0, answer.err
    (new,) = [row for row in trials(folder) if row["source"] == KEPT_GENERATOR]
    assert new["trial_id"] == before["trial_id"] and new["protocol_id"] != before["protocol_id"]
    assert (new["status"], new["quantize"], new["n_fake"]) == ("finished", True, 64)
    assert new["best_step"] == before["best_step"]
    assert new["final_step"] == (before["best_step"] if before["best_step"] == 6 else None)
    assert new["training_seconds"] is None and new["scoring_seconds"] > 0
    (added,) = [row for row in evaluations(folder) if row["protocol_id"] == new["protocol_id"]]
    assert added["discriminator_step"] == before["best_step"]
    assert added["discriminator_loss"] is None and added["sigmas"] is None
    assert all(added[name] is not None for name in SCORES)
    assert added["frechet_distance"] == new["best_frechet_distance"]
    assert added["frechet_distance"] == pytest.approx(before["best_frechet_distance"], rel=0.05)
    assert [row for row in evaluations(folder) if row["protocol_id"] != new["protocol_id"]] == rows
    assert not list((folder / "results" / "parts").glob("*/*.json"))
    assert f"step {new['best_step']}: FD (classifier) {new['best_frechet_distance']:.2f}, kernel_distance" in answer.out


def test_the_same_protocol_gives_the_same_score(ask, folder):
    """The protocol is taken away from the rows, so that the generator is scored under it anew."""
    before = finished(folder)
    for name in ("trials", "evaluations"):
        table = read_table(folder / "results", name)
        keep = [row for row in table.to_pylist() if row["trial_id"] != before["trial_id"]]
        other = [{**r, "protocol_id": "0" * 12} for r in table.to_pylist() if r["trial_id"] == before["trial_id"]]
        write_table(folder / "results", name, type(table).from_pylist(keep + other, schema=table.schema))
    assert ask("evaluate", before["trial_id"], "--n-fake", 64).code == 0
    (again,) = [
        row for row in trials(folder) if row["protocol_id"] == before["protocol_id"] and row["source"] != TRAINING
    ]
    assert again["best_frechet_distance"] == before["best_frechet_distance"]


def test_all_leaves_out_what_kept_no_generator(ask, folder):
    answer = ask("evaluate --all", "--protocol", "train-50k", "--n-fake", 70)
    assert answer.code == 0, answer.err
    assert "1 trial has no saved generator and is left out" in answer.err
    (new,) = [row for row in trials(folder) if row["source"] == KEPT_GENERATOR]
    assert (new["split"], new["n_real"], new["n_fake"]) == ("train", 1197, 70)
    before = tree(folder / "results")
    again = ask("evaluate --all", "--protocol", "train-50k", "--n-fake", 70)
    assert again.code == 0 and "(already scored)" in again.out
    assert {path: content for path, content in tree(folder / "results").items() if path.name != ".lock"} == {
        path: content for path, content in before.items() if path.name != ".lock"
    }


def test_metrics_are_added_to_a_row_that_stands_there(ask, folder):
    before = finished(folder)
    answer = ask("evaluate", before["trial_id"], "--n-fake", 64, "--metrics", "kid,prc")
    assert answer.code == 0, answer.err
    assert "(metrics added)" in answer.out
    key = {"trial_id": before["trial_id"], "protocol_id": before["protocol_id"]}
    rows = [row for row in evaluations(folder) if key.items() <= row.items()]
    (filled,) = [row for row in rows if row["precision"] is not None]
    assert filled["discriminator_step"] == before["best_step"] and filled["kernel_distance"] is not None
    assert filled["sigmas"] is not None and filled["frechet_distance"] == before["best_frechet_distance"]
    assert len(trials(folder)) == 2


def test_metrics_of_another_generator_are_refused(folder):
    from study.core.errors import InputError

    row = {**evaluations(folder)[0], "precision": 0.5}
    with pytest.raises(InputError, match=r"its kept generator scores .*, its row says"):
        fill_scores(folder / "results", {**row, "frechet_distance": 2 * row["frechet_distance"]})
    assert evaluations(folder)[0]["precision"] is None


def test_train_under_another_protocol_scores_what_was_kept(study, folder, monkeypatch):
    monkeypatch.setattr("study.worker.execute.train_pack", lambda *_, **__: pytest.fail("it was trained again"))
    asked = ("--discriminator-steps", 6, "--learning-rate", 1e-3, "--beta1", 0.5, "--beta2", 0.9, "--n-fake", 64)
    where = ("--results", folder / "results", "--data-dir", folder / "data")
    answer = study("train", *asked, "--protocol", "rounded", *where)
    assert answer.code == 0, answer.err
    assert "scoring its saved generator" in answer.out
    assert [row["source"] for row in trials(folder)].count(KEPT_GENERATOR) == 1


def test_what_is_pending_under_another_protocol_needs_no_training(folder):
    from study.core.trial import Hyperparameters, Method
    from study.driver.cost.estimate import estimate
    from study.driver.planning import plan
    from study.driver.resources import Slots

    request = make_request(
        datasets=["digits"],
        results=folder / "results",
        data_dir=folder / "data",
        discriminator_steps=6,
        protocol="rounded",
    )
    found = []
    for learning_rate, seed in ((1e-3, 0), (1e30, 0), (1e-3, 1)):
        numbers = Hyperparameters(learning_rate=learning_rate, beta1=0.5, beta2=0.9, n_dis=1)
        found.append(plan.plan_trial(request, Method(architecture="sndcgan"), numbers, seed))
    todo = plan.pending(found, folder / "results")
    assert [p.kept for p in todo] == [True, False, False]
    made = estimate(found, todo, folder / "results", Slots(concurrent=1, gpus_per_trial=0))
    assert (made.total, made.kept) == (3, 1)
    generator_path(folder / "results", todo[0].trial.id).unlink()
    assert [p.kept for p in plan.pending(found, folder / "results")] == [False] * 3


def test_a_generator_of_a_trial_that_has_no_row_is_not_enough(folder):
    """It was kept, and then its worker was killed: its other checkpoints are not known, so it is trained again."""
    from study.core.trial import Hyperparameters, Method
    from study.driver.planning import plan

    request = make_request(
        datasets=["digits"], results=folder / "results", data_dir=folder / "data", discriminator_steps=6, n_fake=64
    )
    numbers = Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=1)
    one = plan.plan_trial(request, Method(architecture="sndcgan"), numbers, 0)
    assert plan.pending([one], folder / "results") == []
    (folder / "results" / "trials.parquet").unlink()
    assert generator_path(folder / "results", one.trial.id).is_file()
    assert [p.kept for p in plan.pending([one], folder / "results")] == [False]


def test_a_folder_of_images_is_scored_and_nothing_is_written(study, tmp_path):
    digits = data.load("digits")
    save(tmp_path / "images", digits.test[:, 0])
    where = ("--images", tmp_path / "images", "--results", tmp_path / "results", "--data-dir", tmp_path / "data")
    answer = study("evaluate", *where, "--metrics", "prc,modes")
    assert answer.code == 0, answer.err
    assert (
        "600 images, FD (classifier) 0.00, precision 1, recall 1, classes_hit 10, class_kl 0, class_js 0" in answer.out
    )
    assert not (tmp_path / "results").exists()
    compared = study("compare-protocols", *where, "--protocols", "study,rounded,train-50k", "--n-fake", 600)
    assert compared.code == 0, compared.err
    assert [line.split()[0] for line in compared.out.splitlines()[2:]] == ["study", "rounded", "train-50k"]


BAD_FOLDERS = {
    "missing": (lambda path: None, "no such folder"),
    "few": (
        lambda path: save(path, np.zeros((5, 8, 8), np.uint8)),
        "has 5 images, but the protocol needs 600 generated",
    ),
    "mixed sizes": (
        lambda path: (save(path, np.zeros((600, 8, 8), np.uint8)), Image.new("L", (9, 8)).save(path / "0003.png")),
        "0003.png: is L of 9x8 px, not L of 8x8 px",
    ),
    "colours": (
        lambda path: (save(path, np.zeros((600, 8, 8), np.uint8)), Image.new("RGB", (8, 8)).save(path / "0007.png")),
        "0007.png: is RGB of 8x8 px, not L",
    ),
    "unreadable": (
        lambda path: (save(path, np.zeros((600, 8, 8), np.uint8)), (path / "0599.png").write_bytes(b"no image")),
        "0599.png: not a readable image",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
@pytest.mark.parametrize("command", ["evaluate", "compare-protocols"])
def test_bad_folders_of_images(study, tmp_path, command, spoil, words):
    spoil(tmp_path / "images")
    answer = study(command, "--images", tmp_path / "images", "--data-dir", tmp_path / "data")
    assert answer.code == 2
    assert words in answer.err and len(answer.err.strip().splitlines()) == 1
    assert answer.out == ""


@pytest.mark.parametrize("command", ["evaluate", "compare-protocols"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "TRIAL_ID, --all, --images: give exactly one of these"),
        (["--all", "--images", "x"], "give exactly one of these"),
        (["zzz"], "TRIAL_ID zzz: no such trial"),
        (["--all", "--n-real", "601"], "--n-real 601: the test split has only 600 images"),
        (["--all", "--extractor", "vgg"], "--extractor vgg: unknown; did you mean vgg16"),
        (["--all", "--extractor", "dinov2-vit-b-14"], "--extractor dinov2-vit-b-14: its code is not here"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(ask, folder, monkeypatch, command, arguments, words):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder / "hub"))
    before = tree(folder / "results")
    answer = ask(command, *arguments)
    assert answer.code == 2
    assert words in answer.err.splitlines()[-1]
    after = tree(folder / "results")
    assert {path: content for path, content in after.items() if path.name != ".lock"} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol", "studi"], "--protocol studi: unknown; did you mean study"),
        (["--metrics", "fid"], "--metrics fid: unknown"),
        (["--kid-subset", "900"], "--kid-subset 900: must be from 2 to 600"),
        (["--feature-precision", "bf16"], "--feature-precision bf16: unknown; did you mean bfloat16"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate --all", "train", "run grid", "bo"])
def test_bad_protocols_and_metrics(ask, folder, command, arguments, words):
    answer = ask(command, *arguments)
    assert answer.code == 2
    assert words in answer.err.splitlines()[-1]
    assert len(trials(folder)) == 2


def test_a_trial_without_a_generator_and_a_damaged_one(ask, folder):
    diverged = next(row["trial_id"] for row in trials(folder) if row["status"] == "diverged")
    answer = ask("evaluate", diverged)
    assert answer.code == 2 and f"TRIAL_ID {diverged}: no generator is kept in" in answer.err
    path = generator_path(folder / "results", finished(folder)["trial_id"])
    path.write_bytes(path.read_bytes()[:100])
    answer = ask("evaluate --all", "--protocol", "rounded")
    assert answer.code == 2 and "generator.pt: not a readable generator" in answer.err
    assert len(trials(folder)) == 2


def test_nothing_was_run_there(study, tmp_path):
    answer = study("evaluate", "--all", "--results", tmp_path / "none")
    assert answer.code == 2 and "nothing has been run there" in answer.err
    assert not (tmp_path / "none").exists()


def test_rows_of_before_these_columns_are_read(folder):
    path = folder / "results" / "trials.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["source", "kid_subset", "feature_precision"]), path)
    assert [row["source"] for row in trials(folder)] == [None, None]
    from analysis.rows.load import load

    assert load(path)[["kid_subset", "feature_precision"]].isna().all(axis=None)


def test_features_in_bfloat16_make_rows_of_their_own_and_scores_that_say_so(ask, folder):
    before = finished(folder)
    answer = ask("evaluate --all --n-fake 64 --feature-precision bfloat16")
    assert answer.code == 0, answer.err
    assert ": FD (classifier, bf16 features) " in answer.out
    (new,) = [row for row in trials(folder) if row["source"] == KEPT_GENERATOR]
    assert (before["feature_precision"], new["feature_precision"]) == ("float32", "bfloat16")
    assert new["protocol_id"] != before["protocol_id"]
    assert 1e-6 < abs(new["best_frechet_distance"] / before["best_frechet_distance"] - 1) < 2e-2
    assert "(already scored)" in ask("evaluate --all --n-fake 64").out
    compared = ask("compare-protocols --all --protocols study --n-fake 64 --feature-precision bfloat16")
    assert compared.out.startswith("digits: FD (classifier, bf16 features) of 1 set of images")
