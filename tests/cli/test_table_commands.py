"""`study table` as a person uses it: the menu, the formats, where it writes, and what bad input gets."""

import io
from pathlib import Path

import pandas as pd
import pytest

from study.core.evaluation import Evaluation, MetricProtocol
from study.core.trial import SEMANTICS, Hyperparameters, Method, Training, Trial
from study.storage.parts import write_part
from study.storage.schema import FINISHED, TrialRecord

PROTOCOL = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=360, n_fake=360)
OTHER = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=100, n_fake=100)
RECORD = TrialRecord(
    status=FINISHED,
    reason=None,
    dataset_sha256="d" * 64,
    started_at="2026-01-01T00:00:00+00:00",
    finished_at="2026-01-01T00:01:00+00:00",
    training_seconds=1.0,
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


def add(folder: Path, method: Method, scores: list[list[float]], protocol: MetricProtocol = PROTOCOL) -> None:
    """A part for each seed, with its checkpoints."""
    for seed, checkpoints in enumerate(scores):
        trial = Trial(
            dataset="digits",
            method=method,
            hyperparameters=Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=1),
            training=Training(discriminator_steps=20, width=16),
            seed=seed,
        )
        evaluations = [
            Evaluation(
                trial_id=trial.id,
                discriminator_step=10 * step,
                protocol_id=protocol.id,
                frechet_distance=score,
                discriminator_loss=1.0,
                generator_loss=1.0,
                penalty=0.0,
            )
            for step, score in enumerate(checkpoints, 1)
        ]
        assert write_part(folder, trial, protocol, RECORD, evaluations)


@pytest.fixture
def results(tmp_path):
    """Six seeds of two methods, best 1 to 6 and 11 to 16, final 9 more."""
    folder = tmp_path / "results"
    add(folder, Method(architecture="sndcgan"), [[float(score), score + 9.0] for score in range(11, 17)])
    add(
        folder,
        Method(architecture="sndcgan", normalizations=("spectral_norm",)),
        [[float(score), score + 9.0] for score in range(1, 7)],
    )
    return folder


def test_without_a_name_the_tables_are_listed(study):
    answer = study("table")
    assert answer.code == 0
    names = [line.partition(":")[0] for line in answer.out.splitlines()]
    assert names[:3] == ["best", "settings", "comparisons"] and names[-1] == "claims"


def test_plain_text_with_its_caption(study, results):
    answer = study("table", "best", "--results", results)
    assert answer.code == 0, answer.err
    assert answer.out.startswith("digits: FD (classifier), top 5 % of each method\nmethod  trials")
    assert "SN: spectral_norm" in answer.out.splitlines()[-1]


def test_rule_pool_and_fraction(study, results):
    def frame(*how: object) -> pd.DataFrame:
        answer = study("table", "best", "--results", results, "--format", "csv", *how)
        assert answer.code == 0, answer.err
        return pd.read_csv(io.StringIO(answer.out)).set_index("method")

    assert frame()["best"].to_dict() == {"W/O": 11, "SN": 1}
    assert frame("--rule", "final")["best"].to_dict() == {"W/O": 20, "SN": 10}
    assert frame("--fraction", 0.5)["k"].to_dict() == {"W/O": 3, "SN": 3}
    pooled = frame("--pool", "settings")
    assert pooled["trials"].to_dict() == {"W/O": 1, "SN": 1} and pooled["best"].to_dict() == {"W/O": 13.5, "SN": 3.5}


def test_level_is_that_of_the_intervals(study, results):
    answer = study("table", "comparisons", "--results", results, "--format", "csv", "--level", 0.9)
    assert set(pd.read_csv(io.StringIO(answer.out))["level"]) == {0.9}


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        (".md", "**digits: FD"),
        (".tex", "% needs \\usepackage{booktabs}"),
        (".csv", "dataset,method,"),
        (".txt", "digi"),
    ],
)
def test_a_file_is_in_the_format_of_its_suffix(study, results, tmp_path, suffix, start):
    output = tmp_path / "new" / f"table{suffix}"
    answer = study("table", "best", "--results", results, "--output", output)
    assert (answer.code, answer.out) == (0, f"table: {output}\n"), answer.err
    assert output.read_text().startswith(start)
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_a_format_is_stronger_than_a_suffix(study, results, tmp_path):
    output = tmp_path / "table.dat"
    assert study("table", "best", "--results", results, "--output", output, "--format", "latex").code == 0
    assert r"\toprule" in output.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bset"], "table bset: unknown; did you mean best? Known:"),
        (["best", "--format", "markdwn"], "--format markdwn: unknown; did you mean markdown?"),
        (["best", "--rule", "finale"], "--rule finale: unknown; did you mean final?"),
        (["best", "--pool", "setting"], "--pool setting: unknown; did you mean settings?"),
        (["best", "--fraction", "0"], "fraction 0: must be above 0"),
        (["comparisons", "--level", "95"], "level 95: must be between 0 and 1"),
        (["best", "--dataset", "digts"], "--dataset digts: unknown; did you mean digits?"),
        (["best", "--protocol", "x"], "--protocol x: unknown"),
        (
            ["best", "--output", "table.html"],
            "--output table.html: unknown suffix; must be one of .csv, .md, .tex, .txt, or give --format",
        ),
        (["searches"], "table searches: No search has a trial among these rows"),
        (["published"], "table published: The published models are of cifar10"),
    ],
)
def test_bad_input_is_one_line(study, results, arguments, said):
    answer = study("table", *arguments, "--results", results)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err and answer.err.count("\n") == 1


def test_a_place_that_cannot_be_written_is_one_line(study, results, tmp_path):
    (tmp_path / "file").write_text("")
    answer = study("table", "best", "--results", results, "--output", tmp_path / "file" / "table.md")
    assert answer.code == 2
    assert "cannot be written" in answer.err and answer.err.count("\n") == 1


def test_two_protocols_need_one(study, results):
    add(results, Method(architecture="sndcgan"), [[5.0]], OTHER)
    answer = study("table", "best", "--results", results)
    assert answer.code == 2 and "Choose one with `--protocol ID`" in answer.err
    assert study("table", "best", "--results", results, "--protocol", OTHER.id).code == 0


def test_an_empty_folder_says_so(study, tmp_path):
    answer = study("table", "best", "--results", tmp_path / "none")
    assert answer.code == 2 and "no trials; run some" in answer.err
