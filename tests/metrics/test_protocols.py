"""Protocols by name, the metrics that go with them, and what is refused."""

import dataclasses
import re
from typing import get_type_hints

import numpy as np
import pytest
import torch

from study import data
from study.core.errors import InputError
from study.core.evaluation import MetricProtocol, Scores
from study.driver.request import ScoringOptions
from study.metrics.extractors.extractor import Extractor
from study.metrics.menu import METRICS, resolve_metrics
from study.metrics.protocols import PROTOCOLS, resolve_protocol
from study.metrics.scoring import Scorer, real_sample

PIXELS = Extractor(
    name="pixels",
    weights_sha256="1" * 64,
    dimension=64,
    resize="none",
    features=lambda images: images.flatten(1).float(),
)
JUDGE = dataclasses.replace(PIXELS, logits=lambda features: features[:, :10] * 5, dataset_classes=True)


def replaying(images):
    remaining = iter(images)
    return lambda latents: torch.stack([next(remaining) for _ in latents])


def fakes(digits, n):
    return torch.from_numpy(np.ascontiguousarray(digits.train[:n])).float() / 255


def test_the_named_protocols(digits):
    made = {name: resolve_protocol(digits, PIXELS, name=name) for name in PROTOCOLS}
    told = {name: (p.split, p.n_real, p.n_fake, p.quantize) for name, p in made.items()}
    assert told == {
        "study": ("test", 600, 600, False),
        "rounded": ("test", 600, 600, True),
        "test-5k": ("test", 600, 5_000, True),
        "train-50k": ("train", 1197, 50_000, True),
    }
    assert len({protocol.id for protocol in made.values()}) == 4
    assert made["study"] == resolve_protocol(digits, PIXELS)


def test_the_papers_numbers_on_a_large_dataset(digits):
    large = data.Images(
        train=np.zeros((50_000, 1, 1, 1), np.uint8),
        test=np.zeros((10_000, 1, 1, 1), np.uint8),
        manifest=digits.manifest,
    )
    numbers = {name: resolve_protocol(large, PIXELS, name=name) for name in PROTOCOLS}
    assert {name: (p.n_real, p.n_fake) for name, p in numbers.items()} == {
        "study": (10_000, 10_000),
        "rounded": (10_000, 10_000),
        "test-5k": (10_000, 5_000),
        "train-50k": (50_000, 50_000),
    }
    assert resolve_protocol(large, PIXELS, default_n=3000, name="rounded").n_fake == 3000


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"name": "train50k"}, "--protocol train50k: unknown; did you mean train-50k"),
        ({"name": "train-50k", "n_real": 1198}, "--n-real 1198: the train split has only 1197 images; use at most"),
        ({"n_real": 601}, "--n-real 601: the test split has only 600 images"),
        ({"kid_subset": 1}, "--kid-subset 1: must be from 2 to 600"),
        ({"n_fake": 50, "kid_subset": 51}, "--kid-subset 51: must be from 2 to 50"),
        (
            {"feature_precision": "bf16"},
            "--feature-precision bf16: unknown; did you mean bfloat16. Known: bf",
        ),
    ],
)
def test_what_cannot_be_is_refused(digits, asked, words):
    with pytest.raises(InputError, match=words) as error:
        resolve_protocol(digits, PIXELS, **asked)
    assert "\n" not in str(error.value)


def test_a_kid_subset_is_part_of_the_id_only_where_it_is_given():
    plain = {"extractor": "classifier", "weights_sha256": "c" * 64, "n_real": 600, "n_fake": 600}
    assert MetricProtocol(**plain).id == MetricProtocol(**plain, kid_subset=None).id
    assert len({MetricProtocol(**plain, kid_subset=size).id for size in (None, 100, 600)}) == 3


def test_the_default_metrics_are_those_that_cost_nothing(digits):
    protocol = resolve_protocol(digits, PIXELS)
    assert resolve_metrics(None, JUDGE, protocol) == ("is", "modes")
    assert resolve_metrics(None, dataclasses.replace(JUDGE, dataset_classes=False), protocol) == ("is",)
    assert resolve_metrics(None, PIXELS, protocol) == ()
    assert resolve_metrics("none", JUDGE, protocol) == ()
    assert resolve_metrics("prc, kid", JUDGE, protocol) == ("kid", "prc")
    assert resolve_metrics("all", JUDGE, protocol) == tuple(METRICS)
    assert resolve_metrics("all", PIXELS, protocol) == ("kid", "prc", "ms_ssim", "infinity")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("kdi", "--metrics kdi: unknown; did you mean kid"),
        ("kid,", "--metrics : unknown"),
        ("modes", "--metrics modes: pixels does not know the dataset's classes; use --extractor classifier"),
        ("is", "--metrics is: pixels has no classes; use --extractor inception"),
    ],
)
def test_metrics_that_cannot_be_are_refused(digits, asked, words):
    with pytest.raises(InputError, match=words):
        resolve_metrics(asked, PIXELS, resolve_protocol(digits, PIXELS))


def test_the_option_completes_and_explains_the_names_on_the_menu():
    (option,) = get_type_hints(ScoringOptions, include_extras=True)["metrics"].__metadata__
    assert sorted(option.autocompletion("")) == sorted([*METRICS, "all", "none"])
    words = re.findall(r"[a-z_]+", option.help)
    assert [name for name in (*METRICS, "all", "none") if name not in words] == []


def test_neighbours_need_images(digits):
    with pytest.raises(InputError, match="--metrics prc: needs at least 4 real and generated images"):
        resolve_metrics("prc", PIXELS, resolve_protocol(digits, PIXELS, n_fake=3))


def test_a_scorer_fills_what_was_asked_for_and_only_that(digits, tmp_path):
    protocol = resolve_protocol(digits, JUDGE, n_real=300, n_fake=300)
    all_of_them = Scorer.prepare(digits, JUDGE, protocol, tmp_path, tuple(METRICS))
    scored = all_of_them.score(replaying(fakes(digits, 300)), 4)
    assert all(value is not None for value in vars(scored.scores).values())
    alone = Scorer.prepare(digits, JUDGE, protocol, tmp_path).score(replaying(fakes(digits, 300)), 4)
    assert alone.frechet_distance == scored.frechet_distance
    assert alone.scores == Scores()
    one = Scorer.prepare(digits, JUDGE, protocol, tmp_path, ("prc",)).score(replaying(fakes(digits, 300)), 4).scores
    assert one == Scores(precision=scored.scores.precision, recall=scored.scores.recall)


def test_real_images_that_score_themselves_are_perfect(digits, tmp_path):
    protocol = resolve_protocol(digits, JUDGE)
    scorer = Scorer.prepare(digits, JUDGE, protocol, tmp_path, ("kid", "prc", "modes"))
    real = torch.from_numpy(np.ascontiguousarray(digits.test)).float() / 255
    scored = scorer.score(replaying(real), 4)
    assert scored.frechet_distance == pytest.approx(0, abs=1e-8)
    scores = scored.scores
    assert (scores.precision, scores.recall, scores.class_kl, scores.class_js) == (1, 1, 0, 0)
    assert scores.kernel_distance <= 0


def test_what_is_kept_of_real_images_is_read_again_and_renewed_when_damaged(digits, tmp_path):
    protocol = resolve_protocol(digits, JUDGE)
    wanted = frozenset({"features", "classes"})
    first = real_sample(digits, JUDGE, protocol, tmp_path, wanted)

    def never(images):
        raise AssertionError("features were computed again")

    silent = dataclasses.replace(JUDGE, features=never)
    again = real_sample(digits, silent, protocol, tmp_path, wanted)
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.classes.hits, again.classes.hits)
    for path in (tmp_path / "statistics").iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[:90])
        with pytest.raises(AssertionError, match="computed again"):
            real_sample(digits, silent, protocol, tmp_path, wanted)
        real_sample(digits, JUDGE, protocol, tmp_path, wanted)
        assert path.read_bytes() == whole
    assert len(list((tmp_path / "statistics").iterdir())) == 3


def test_features_of_other_images_are_never_taken(digits, tmp_path):
    protocol = resolve_protocol(digits, JUDGE)
    wanted = frozenset({"features"})
    mine = real_sample(digits, JUDGE, protocol, tmp_path, wanted)
    other = data.Images(train=digits.train, test=255 - digits.test, manifest={**digits.manifest, "sha256": "3" * 64})
    assert not torch.equal(real_sample(other, JUDGE, protocol, tmp_path, wanted).features, mine.features)
