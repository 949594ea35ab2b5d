"""Trials of three checkpoints that have ended, made up, for tests of how they are stored."""

from study.core.evaluation import Diagnostics, Evaluation, MetricProtocol
from study.core.trial import SEMANTICS, Hyperparameters, Method, Training, Trial
from study.storage.parts import part_path, write_part
from study.storage.schema import FINISHED, TrialRecord
from study.storage.tables import read_table

PROTOCOL = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=600, n_fake=500)
OTHER_PROTOCOL = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=50, n_fake=50)
SCORES = (30.0, 10.0, 20.0)


def make(seed=0):
    return Trial(
        dataset="digits",
        method=Method(
            architecture="sndcgan",
            normalizations=("spectral_norm", "layer_norm"),
            penalty="dragan",
            options={"power_iterations": 5},
        ),
        hyperparameters=Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=5, penalty_weight=10),
        training=Training(discriminator_steps=300, width=8),
        seed=seed,
    )


def record(status=FINISHED, host="here"):
    return TrialRecord(
        status=status,
        reason=None if status == FINISHED else "made so",
        dataset_sha256="d" * 64,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T02:01:00+02:00",
        training_seconds=1.5,
        scoring_seconds=1,
        images_per_second=100.0,
        host=host,
        device="cpu",
        study_version="0.1.0",
        code_revision="none",
        semantics=SEMANTICS,
        python="3.11",
        torch="2.13.0",
    )


def scored(trial, scores=SCORES, protocol=PROTOCOL):
    return [
        Evaluation(
            trial_id=trial.id,
            discriminator_step=100 * step,
            protocol_id=protocol.id,
            frechet_distance=score,
            discriminator_loss=1.0,
            generator_loss=2.0,
            penalty=0.5,
            diagnostics=Diagnostics(sigmas=[1.5, 0.5], sigma_product=0.75, accuracy_fake=None),
        )
        for step, score in enumerate(scores, 1)
    ]


def write(folder, seed=0, status=FINISHED, scores=SCORES, host="here", protocol=PROTOCOL):
    trial = make(seed)
    return write_part(folder, trial, protocol, record(status, host), scored(trial, scores, protocol))


def path_of(folder, seed=0):
    return part_path(folder, make(seed).id, PROTOCOL.id)


def rows(folder, name):
    return read_table(folder, name).to_pylist()


def temporaries(folder):
    return list(folder.rglob("*.tmp"))
