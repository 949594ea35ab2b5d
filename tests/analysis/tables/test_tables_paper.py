"""The tables that put the paper's numbers beside ours, by hand: what is compared, what is missing, what must not be."""

import math

import pytest

from analysis.rows.view import NotEnough, open_rows
from analysis.statistics.intervals import quantile_interval
from analysis.tables import plain, tables
from study.core.evaluation import Evaluation, MetricProtocol
from study.core.trial import SEMANTICS, Hyperparameters, Method, Training, Trial
from study.storage.parts import write_part
from study.storage.schema import DIVERGED, FAILED, FINISHED, INCEPTION_SHA256, TrialRecord

CELEBA = "celeba-hq-128"
FID = {"extractor": "inception-v3-compat", "weights_sha256": INCEPTION_SHA256}
PAPER = MetricProtocol(n_real=3000, n_fake=3000, **FID)
CLASSIFIER = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=3000, n_fake=3000)
SN = Method(architecture="sndcgan", normalizations=("spectral_norm",))
LN = Method(architecture="resnet19", normalizations=("layer_norm",))
PUBLISHED = Hyperparameters(learning_rate=2e-4, beta1=0.5, beta2=0.9, n_dis=1)
TWINS = Hyperparameters(learning_rate=1e-4, beta1=0.5, beta2=0.999, n_dis=1)
RECORD = {
    "reason": None,
    "dataset_sha256": "d" * 64,
    "started_at": "2026-01-01T00:00:00+00:00",
    "finished_at": "2026-01-01T00:01:00+00:00",
    "training_seconds": 1.0,
    "scoring_seconds": 1.0,
    "images_per_second": 100.0,
    "host": "here",
    "device": "cpu",
    "study_version": "0.1.0",
    "code_revision": "none",
    "semantics": SEMANTICS,
    "python": "3.11",
    "torch": "2.13.0",
}


def add(folder, method, numbers, scores, *, steps=100_000, width=64, protocol=PAPER, dataset=CELEBA):
    """A part per score, seeds in turn; a word is the status of one without."""
    for seed, score in enumerate(scores):
        training = Training(discriminator_steps=steps, width=width)
        trial = Trial(dataset=dataset, method=method, hyperparameters=numbers, training=training, seed=seed)
        status = score if isinstance(score, str) else FINISHED
        evaluation = Evaluation(
            trial_id=trial.id,
            discriminator_step=steps,
            protocol_id=protocol.id,
            frechet_distance=0.0 if isinstance(score, str) else score,
            discriminator_loss=1.0,
            generator_loss=1.0,
            penalty=0.0,
        )
        found = [] if isinstance(score, str) else [evaluation]
        assert write_part(folder, trial, protocol, TrialRecord(status=status, **RECORD), found)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


def computed(name, folder, **how):
    return tables()[name].compute(open_rows(folder, **how))


def printed(name, folder):
    rows, kind = open_rows(folder), tables()[name]
    frame = kind.compute(rows)
    return plain(kind.words(frame), kind.caption(rows, frame))


def test_published_is_by_exact_setting(folder):
    """28.21 for SN at 2e-4 (0.5, 0.9): ours 30, 31, 35 -> 31, a difference of 2.79; another rate is another setting."""
    add(folder, SN, PUBLISHED, [30.0, 35.0, 31.0])
    add(folder, SN, Hyperparameters(learning_rate=2.1e-4, beta1=0.5, beta2=0.9, n_dis=1), [1.0])
    add(folder, SN, Hyperparameters(learning_rate=2e-4, beta1=0.5, beta2=0.9, n_dis=5), [1.0])
    frame = computed("published", folder)
    assert len(frame) == 12, "the models of CelebA-HQ"
    (row,) = frame[frame["status"] == "compared"].to_dict("records")
    assert (row["fid"], row["seeds"], row["scored"], row["ours"]) == (28.21, 3, 3, 31.0)
    assert (row["low"], row["high"], row["training"]) == (30.0, 35.0, "")
    assert row["difference"] == pytest.approx(2.79, abs=1e-9)
    missing = frame[frame["status"] == "missing"]
    assert len(missing) == 11 and missing["difference"].isna().all() and missing["ours"].isna().all()
    text = printed("published", folder)
    assert "+2.79  compared" in text and "[30.00, 35.00]" in text
    assert "19 more models were published on datasets that are not in these rows." in text


def test_twins_are_one_setting_of_ours_and_lengths_are_said(folder):
    add(folder, LN, TWINS, [31.0, 33.0])
    frame = computed("published", folder)
    twins = frame[frame["status"] == "compared"]
    assert twins[["seed", "fid", "ours"]].to_numpy().tolist() == [[0, 30.02, 32.0], [1, 32.05, 32.0]]
    assert twins["difference"].tolist() == pytest.approx([1.98, -0.05], abs=1e-9)
    assert set(twins["training"]) == {"discriminator steps 100,000 instead of 200,000"}
    assert set(twins["discriminator_steps"]) == {200_000}


def test_each_training_of_a_setting_is_a_line(folder):
    add(folder, LN, TWINS, [31.0], steps=200_000)
    add(folder, LN, TWINS, [35.0], steps=100_000, width=32)
    found = computed("published", folder).dropna(subset=["ours"])
    said = "discriminator steps 100,000 instead of 200,000, width 32 instead of 64"
    assert sorted(zip(found["fid"], found["ours"], found["training"], strict=True)) == [
        (30.02, 31.0, ""),
        (30.02, 35.0, said),
        (32.05, 31.0, ""),
        (32.05, 35.0, said),
    ]


@pytest.mark.parametrize(
    ("scores", "ours", "scored", "status"),
    [
        ([DIVERGED, FAILED], math.nan, 0, "no score"),
        ([DIVERGED, 30.0, DIVERGED], math.nan, 1, "no score"),
        ([DIVERGED, 30.0, 32.0], 32.0, 2, "compared"),
    ],
)
def test_seeds_without_a_score_rank_last_and_count(folder, scores, ours, scored, status):
    add(folder, SN, PUBLISHED, scores)
    frame = computed("published", folder).dropna(subset=["seeds"])
    (row,) = frame.to_dict("records")
    assert (row["seeds"], row["scored"], row["status"]) == (len(scores), scored, status)
    assert row["ours"] == pytest.approx(ours, nan_ok=True)


@pytest.mark.parametrize("name", ["published", "paper"])
def test_an_fd_is_never_compared_with_an_fid(folder, name):
    add(folder, SN, PUBLISHED, [30.0, 31.0], protocol=CLASSIFIER)
    frame = computed(name, folder)
    assert frame["difference"].isna().all() and "compared" not in set(frame["status"])
    found = frame[frame["status"] != "missing"]
    assert len(found) == 1
    assert found["status"].iloc[0] == "not comparable: FD (classifier) is not an FID"
    assert f"{CELEBA}: " in printed(name, folder) and "our FD (classifier)" in printed(name, folder)


def test_fids_of_other_numbers_of_images_are_not_compared(folder):
    add(folder, SN, PUBLISHED, [30.0], protocol=MetricProtocol(n_real=3000, n_fake=1000, **FID))
    found = computed("published", folder).dropna(subset=["ours"])
    assert found["status"].tolist() == ["not comparable: 1,000 generated images instead of 3,000"]
    assert found["difference"].isna().all()


def test_boxes_beside_our_medians_by_hand(folder):
    """SN with SNDCGAN on CelebA-HQ, Figure 3: 29.1; of 21 trials the best 2 are 25 and 26, their median 25.5."""
    scores = [float(score) for score in range(25, 46)]
    add(folder, SN, PUBLISHED, scores)
    frame = computed("paper", folder)
    assert len(frame) == 33
    (row,) = frame[frame["status"] == "compared"].to_dict("records")
    assert (row["figure"], row["label"], row["method"], row["median"]) == (3, "SNDCGAN SN", "SN", 29.1)
    assert (row["trials"], row["k"], row["median_ours"]) == (21, 2, 25.5)
    assert row["difference"] == pytest.approx(-3.6, abs=1e-9)
    assert (row["low"], row["high"]) == quantile_interval(scores, 0.025)
    assert (frame["status"] == "missing").sum() == 32
    text = printed("paper", folder)
    assert "29.1 [27.7, 30.4]" in text and "118 [76, >250]" in text
    assert "read off the plots" in text and "there is no verdict" in text


def test_another_share_is_not_the_papers(folder):
    add(folder, SN, PUBLISHED, [30.0, 31.0])
    frame = computed("paper", folder, fraction=0.1)
    assert "not comparable: the best 10 %, the paper's 5 %" in set(frame["status"])
    assert frame["difference"].isna().all()


def test_a_box_off_the_plot_is_said(folder):
    method = Method(architecture="resnet19", normalizations=("layer_norm",), penalty="gradient_penalty")
    numbers = Hyperparameters(learning_rate=2e-4, beta1=0.5, beta2=0.9, n_dis=1, penalty_weight=1)
    add(folder, method, numbers, [45.0])
    frame = computed("paper", folder)
    (row,) = frame[frame["method"].notna()].to_dict("records")
    assert (row["label"], row["status"]) == ("GP LN", "off the paper's plot")
    assert "the box is off the plot's scale" in row["note"]


def test_nothing_scored_is_said(folder):
    add(folder, SN, PUBLISHED, [DIVERGED] * 3)
    assert sorted(set(computed("paper", folder)["status"])) == ["missing", "no score"]
    assert sorted(set(computed("published", folder)["status"])) == ["missing", "no score"]
    assert "no score" in printed("paper", folder)


def test_methods_of_ones_own_are_in_no_box(folder):
    add(folder, Method(architecture="sndcgan", loss="my_loss"), PUBLISHED, [30.0])
    options = Method(architecture="sndcgan", normalizations=("spectral_norm",), options=(("power_iterations", 2),))
    add(folder, options, PUBLISHED, [30.0])
    for name in ("paper", "published"):
        assert set(computed(name, folder)["status"]) == {"missing"}


def test_cifar_has_published_models_and_no_box(folder):
    protocol = MetricProtocol(n_real=10_000, n_fake=10_000, **FID)
    add(folder, SN, TWINS, [27.0], steps=200_000, protocol=protocol, dataset="cifar10")
    (row,) = computed("published", folder).dropna(subset=["ours"]).to_dict("records")
    assert (row["fid"], row["status"], row["training"]) == (26.16, "compared", "")
    with pytest.raises(NotEnough, match="none of them is in these rows"):
        computed("paper", folder)
