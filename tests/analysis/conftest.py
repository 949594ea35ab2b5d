"""What the tests of this folder share: a study of hand-made trials, written by the real writer."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from study.core.evaluation import Diagnostics, Evaluation, MetricProtocol, Scores
from study.core.trial import SEMANTICS, Hyperparameters, Method, Training, Trial, content_id
from study.storage.memberships import add_memberships
from study.storage.parts import write_part
from study.storage.schema import DIVERGED, FAILED, FINISHED, TrialRecord
from study.storage.tables import compact

CLASSIFIER = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=360, n_fake=360)


@dataclass(frozen=True)
class Study:
    """A results folder to which trials are added one by one."""

    folder: Path

    def add(
        self,
        method: Method | None = None,
        score: float | list[float] | str = DIVERGED,
        *,
        seed: int = 0,
        n_dis: int = 1,
        dataset: str = "digits",
        protocol: MetricProtocol = CLASSIFIER,
        dataset_sha256: str = "d" * 64,
        steps: int = 250,
        learning_rate: float = 1e-3,
        status: str | None = None,
        measured: bool = False,
    ) -> Trial:
        """A part for one trial: `score` is that of its checkpoints, or the status of a trial that has none.

        A trial with checkpoints has finished, unless another `status` is given. Where `measured`, its checkpoints have
        a kernel distance and diagnostics, too.
        """
        method = method or Method(architecture="sndcgan")
        weight = 10 if method.penalty else None
        trial = Trial(
            dataset=dataset,
            method=method,
            hyperparameters=Hyperparameters(
                learning_rate=learning_rate, beta1=0.5, beta2=0.9, n_dis=n_dis, penalty_weight=weight
            ),
            training=Training(discriminator_steps=steps, width=16),
            seed=seed,
        )
        scores = [] if isinstance(score, str) else [score] if isinstance(score, float | int) else score
        evaluations = [
            Evaluation(
                trial_id=trial.id,
                discriminator_step=10 * step,
                protocol_id=protocol.id,
                frechet_distance=float(value),
                discriminator_loss=1.0,
                generator_loss=1.0,
                penalty=0.0,
                **(_measured(step, float(value)) if measured else {}),
            )
            for step, value in enumerate(scores, 1)
        ]
        record = TrialRecord(
            status=score if isinstance(score, str) else status or FINISHED,
            reason="made so" if isinstance(score, str) else None,
            dataset_sha256=dataset_sha256,
            started_at="2026-01-01T00:00:00+00:00",
            finished_at="2026-01-01T00:01:00+00:00",
            training_seconds=math.pi,
            scoring_seconds=1.0,
            images_per_second=100.0,
            host="here",
            device="cpu",
            study_version="0.1.0",
            code_revision="none",
            semantics=SEMANTICS,
            python="3.11",
            torch="2.13.0",
        )
        assert write_part(self.folder, trial, protocol, record, evaluations)
        return trial

    def add_many(self, method: Method | None, scores: list[float | str], **how: object) -> None:
        """One trial per score, told apart by their seeds."""
        for seed, score in enumerate(scores):
            self.add(method, score, seed=seed, **how)

    def search(
        self,
        rounds: list[list[float | str]],
        *,
        sampler: str = "gp-bucb",
        early: bool = False,
        seed: int = 0,
        first: int = 1,
        **how: Any,
    ) -> str:
        """A search whose trials came to these scores, round by round, at learning rates 1e-5 times `first` and on.

        Returns its name.
        """
        method = how.get("method") or Method(architecture="sndcgan")
        words = (
            f"{how.get('dataset', 'digits')} {method.architecture} {method.name} n_dis={how.get('n_dis', 1)} {sampler}"
        )
        name = f"{words} seed={seed}{' stop-early' if early else ''} {content_id({'how': repr(how)}, length=8)}"
        rates = itertools.count(first)
        for number, scores in enumerate(rounds, 1):
            trials = [self.add(score=score, learning_rate=next(rates) * 1e-5, seed=seed, **how) for score in scores]
            add_memberships(self.folder, "bo", name, trials, round=number)
        return name

    def random(self, scores: list[float | str], **how: Any) -> None:
        """Random settings of the space `ranges`."""
        trials = [self.add(score=score, learning_rate=(rate + 0.5) * 1e-5, **how) for rate, score in enumerate(scores)]
        add_memberships(self.folder, "ranges", how.get("dataset", "digits"), trials)

    def compact(self) -> Path:
        compact(self.folder)
        return self.folder


def _measured(step: int, score: float) -> dict[str, Any]:
    """What a checkpoint tells beside its score: made up, and of two layers."""
    norms = {f"gradient_norm_{where}": score / size for where, size in (("train", 10), ("fake", 12), ("between", 15))}
    return {
        "scores": Scores(kernel_distance=score**1.5 / 1000, kernel_distance_std=0.01),
        "diagnostics": Diagnostics(sigmas=[1.0 + step, 2.0], sigma_product=2.0 + 2 * step, **norms),
    }


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "results")


NONE = Method(architecture="sndcgan")
SPECTRAL = Method(architecture="sndcgan", normalizations=("spectral_norm",))
PENALTY = Method(architecture="sndcgan", penalty="gradient_penalty")
DRAGAN = Method(architecture="sndcgan", penalty="dragan")


@pytest.fixture
def methods():
    return {"none": NONE, "spectral_norm": SPECTRAL, "gradient_penalty": PENALTY, "dragan": DRAGAN}


@pytest.fixture
def small_study(study, methods):
    """24 of none (one diverged, one failed), 6 and 18 of gradient penalty at n_dis 1 and 5, 12 of spectral norm."""
    study.add_many(methods["none"], [*range(31, 53), DIVERGED, FAILED])
    study.add_many(methods["gradient_penalty"], list(range(20, 26)), n_dis=1)
    study.add_many(methods["gradient_penalty"], list(range(10, 28)), n_dis=5)
    study.add_many(methods["spectral_norm"], list(range(15, 27)))
    return study
