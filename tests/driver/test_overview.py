"""`study plan`: the paper's arithmetic, what is there already, hours, disk, and what bad input gets."""

import re
from pathlib import Path

import pytest
import torch

import search_spaces
from search_spaces.ranges import BO
from study import data
from study.cli.run.plan import WORDS, _bytes, _hours
from study.core.evaluation import Evaluation, MetricProtocol
from study.driver.cost.flops import kept_bytes
from study.driver.cost.overview import APPENDICES, MAIN_TEXT, OPTIMISED, Overview
from study.driver.planning.plan import trials_of
from study.driver.request import Selection
from study.driver.spaces.expand import expand_searches
from study.gan.model import build, initial_state
from study.storage.memberships import add_memberships
from study.storage.schema import DIVERGED, FAILED
from study.storage.tables import compact
from study.training.loop import Checkpoint
from study.worker.checkpoint import save_generator, save_state
from study.worker.snapshot import Snapshot
from tests.parts import PROTOCOL, leave
from tests.requests import make_request

CELEBA, LSUN = "celeba-hq-128", "lsun-bedroom-128"
HOUR = 3600.0

# The paper's arithmetic, by hand: 12 fixed settings (Table 1), times 2 weights of a penalty, 5 seeds.
PLAIN, PENALISED, SEEDS = 3 * 4, 3 * 4 * 2, 5
THREE = PLAIN + PLAIN + PENALISED  # none, spectral norm, gradient penalty
REGULARIZATION = SEEDS * (4 * PLAIN + 3 * PENALISED)
LOSSES = SEEDS * (2 * THREE + PLAIN + PENALISED)
ARCHITECTURES = SEEDS * 2 * THREE
COMBINATIONS = 6 * (24 * SEEDS + 24)
SEARCH = 2 * 12 * 10  # of a method: n_dis 1 and 5
MAIN = {
    "regularization": (REGULARIZATION, 0),
    "losses": (LOSSES - SEEDS * THREE, SEEDS * THREE),
    "architectures": (ARCHITECTURES - SEEDS * THREE, SEEDS * THREE),
    "combinations": (COMBINATIONS, 0),
    "bo regularization": (7 * SEARCH, 0),
    "bo losses": (5 * SEARCH, 3 * SEARCH),
    "bo architectures": (3 * SEARCH, 3 * SEARCH),
}


@pytest.fixture
def plan(study, tmp_path):
    """`study plan` on an empty results folder, without any prepared data."""
    where = "--results", tmp_path / "results", "--data-dir", tmp_path / "data"
    return lambda *arguments: study("plan", *arguments, *where)


@pytest.fixture
def ask(tmp_path):
    return lambda **how: make_request(datasets=[], results=tmp_path / "results", data_dir=tmp_path / "data", **how)


def table(answer):
    """The printed table: by its words, numbers by the heads of their columns."""
    assert (answer.code, answer.err) == (0, "")
    header, *lines = (re.split(r" {2,}", line) for line in answer.out.partition("\n\n")[0].splitlines())
    numbers = [name for name in header if name not in WORDS]
    cut = -len(numbers)
    return {tuple(line[:cut]): dict(zip(numbers, line[cut:], strict=True)) for line in lines}


def number(cell):
    return int(cell.replace(",", ""))


def last(answer):
    """The line on time; one on the disk of what runs may follow."""
    (line,) = (line for line in answer.out.splitlines() if line.startswith(("about ", "all trials")))
    return line


def ids(ask, names, datasets, **how):
    """The ids of spaces, experiment by experiment, counted by nothing of the overview."""
    spaces = [search_spaces.get(name) for name in names]
    return [
        {trial.id for trial in trials_of(ask(**how), space, data.get(dataset))}
        for space in spaces
        for dataset in datasets or space.datasets
    ]


@pytest.mark.full
def test_the_papers_arithmetic(plan, ask, tmp_path):
    assert (REGULARIZATION, LOSSES, ARCHITECTURES, COMBINATIONS) == (600, 660, 480, 864)
    assert [7 * SEARCH, 5 * SEARCH, 3 * SEARCH] == [1680, 1200, 720]
    answer = plan("--gpus", 8)
    rows = table(answer)
    for name, (new, shared) in MAIN.items():
        for dataset in (CELEBA, LSUN):
            row = rows[name, dataset]
            assert (number(row["trials"]), number(row["shared"]), number(row["to run"])) == (new, shared, new), name
    assert number(rows["main text",]["trials"]) == 2 * sum(new for new, _ in MAIN.values()) == 11_448
    assert [number(rows["cifar", "cifar10"][name]) for name in ("trials", "shared")] == [SEEDS * 2 * 3 * THREE, 0]
    assert [number(rows["resnet-ablation", "cifar10"][name]) for name in ("trials", "shared")] == [SEEDS * 8, SEEDS]
    for dataset in (CELEBA, LSUN):
        assert number(rows["long-training", dataset]["trials"]) == SEEDS * PENALISED

    main, others = ids(ask, MAIN_TEXT, []), ids(ask, APPENDICES, [])
    assert len(set().union(*main)) == 2 * (600 + 420 + 240 + 864)
    distinct = len(set().union(*main, *others))
    searched = {
        (dataset, search.method, search.n_dis)
        for name in OPTIMISED
        for dataset in (CELEBA, LSUN)
        for search in expand_searches(search_spaces.get(name), data.get(dataset), Selection())
    }
    assert len(searched) == 2 * 2 * (7 + 5 + 3)
    assert number(rows["all",]["trials"]) == distinct + 120 * len(searched)
    assert number(rows["all",]["shared"]) == sum(map(len, main + others)) - distinct + 120 * 2 * 2 * (3 + 3)
    published = {
        dataset: sum(number(rows["published", dataset][n]) for n in ("trials", "shared"))
        for dataset in (CELEBA, "cifar10", LSUN)
    }
    assert published == {CELEBA: 12, "cifar10": 10, LSUN: 9}
    assert re.fullmatch(r"about [\d,]+ d \d+ h on 8 GPUs, from counted operations and an assumed speed", last(answer))
    assert "shared: trials that are already counted in a line above" in answer.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "alone", "packs"),
    [
        (("regularization", "--dataset", CELEBA), True, False),
        (("regularization", "--dataset", "digits"), False, True),
        (("--width", "4"), True, True),
    ],
    ids=["the study's sizes", "small networks", "both"],
)
def test_which_networks_fill_a_gpu(plan, arguments, alone, packs):
    answer = plan(*arguments, "--gpus", 1)
    assert ("one trial fills a GPU" in answer.out) is alone
    assert ("one trial does not fill a GPU" in answer.out) is packs


def test_on_a_cpu_nothing_is_said_of_gpus(plan):
    assert "fill" not in plan("regularization", "--dataset", "digits").out


@pytest.mark.full
def test_the_paper_on_another_dataset(plan, ask):
    answer = plan("--dataset", "digits")
    rows = table(answer)
    assert number(rows["main text",]["trials"]) == 11_448 / 2
    fixed = set().union(*ids(ask, [name for name in (*MAIN_TEXT, *APPENDICES) if name != "published"], ["digits"]))
    assert number(rows["all",]["trials"]) == len(fixed) + 15 * SEARCH
    assert "published on digits is left out: space published: has nothing for digits" in answer.out


def test_the_paper_narrowed(plan):
    """What an experiment does not have is left out and said; what none has is an error."""
    answer = plan(
        "--dataset",
        "digits",
        "--methods",
        "dragan",
        "--n-dis",
        1,
        "--seeds",
        2,
        "--settings",
        3,
        "--rounds",
        3,
        "--trials-per-round",
        4,
    )
    rows = table(answer)
    assert {words[0]: (row["trials"], row["shared"]) for words, row in rows.items()} == {
        "regularization": ("6", "0"),
        "losses": ("0", "6"),
        "architectures": ("6", "6"),
        "combinations": ("0", "6"),
        "bo regularization": ("12", "0"),
        "bo losses": ("0", "12"),
        "bo architectures": ("12", "12"),
        "main text": ("36", "42"),
        "cifar": ("0", "12"),
        "long-training": ("6", "0"),
        "all": ("42", "54"),
    }
    assert "resnet-ablation on digits is left out: --methods dragan: resnet-ablation has no such method" in answer.out


def test_one_space_by_method(plan, tmp_path):
    rows = table(plan("regularization", "--dataset", "all", "--gpus", 8))
    methods = {"none": 60, "gradient_penalty": 120, "dragan": 120, "l2": 120}
    methods |= {"spectral_norm": 60, "layer_norm": 60, "batch_norm": 60}
    expected = {("regularization", dataset, name): n for dataset in (CELEBA, LSUN) for name, n in methods.items()}
    assert {words: number(row["to run"]) for words, row in rows.items()} == {**expected, ("all",): 1200}
    rows = table(plan("grid", "--methods", "none,l2", "--seeds", 2, "--n-dis", 1))
    assert {words: row["trials"] for words, row in rows.items()} == {
        ("grid", "digits", "none"): "6",
        ("grid", "digits", "l2"): "12",
        ("all",): "18",
    }
    assert list(rows["all",]) == ["trials", "to run", "core-hours", "disk"]
    assert list(table(plan("grid", "--dataset", "digits,digits"))["all",]) == ["trials", "to run", "core-hours", "disk"]
    assert not list(tmp_path.iterdir())


def test_the_optimisation(plan):
    rows = table(plan("bo", "--rounds", 3, "--trials-per-round", 4))
    assert len(rows) == 7 * 2 + 1
    assert {row["trials"] for words, row in rows.items() if words != ("all",)} == {"12"}
    assert rows["all",]["trials"] == "168"
    assert list(table(plan("bo", "--methods", "dragan", "--n-dis", 5))) == [("bo", "digits", "dragan, n_dis 5")]
    assert number(table(plan("bo", "--dataset", "all"))["all",]["trials"]) == 2 * 7 * SEARCH


def chosen(ask, **how):
    return trials_of(ask(methods="none", **how), search_spaces.get("grid"), data.get("digits"))


def test_what_is_there_is_not_to_be_run(plan, ask, tmp_path):
    """Trained is trained under whatever protocol, in a part or in the table; failed is not."""
    folder, trials = tmp_path / "results", chosen(ask)
    leave(folder, trials[0])
    leave(folder, trials[0], protocol=MetricProtocol(extractor="x", weights_sha256="c" * 64, n_real=9, n_fake=9))
    leave(folder, trials[1], None, status=DIVERGED)
    leave(folder, trials[2], None, status=FAILED)
    for _ in ("in parts", "in the table"):
        rows = table(plan("grid", "--methods", "none,l2"))
        assert list(rows["all",]) == ["trials", "present", "to run", "core-hours", "disk"]
        assert [(row["trials"], row["present"], row["to run"]) for row in rows.values()] == [
            ("12", "2", "10"),
            ("24", "0", "24"),
            ("36", "2", "34"),
        ]
        compact(folder)
    rows = table(plan("--dataset", "digits", "--methods", "none"))
    assert (rows["regularization", "digits"]["present"], rows["losses", "digits"]["present"]) == ("2", "0")
    assert rows["all",]["present"] == "2"


def test_all_is_there(plan, ask, tmp_path):
    for trial in chosen(ask, settings=2):
        leave(tmp_path / "results", trial)
    answer = plan("grid", "--methods", "none", "--settings", 2)
    assert table(answer) == {("grid", "digits", "none"): {"trials": "2", "present": "2"}}
    assert last(answer) == "all trials are finished"


@pytest.mark.parametrize(
    ("arguments", "hours", "wall"),
    [
        (["grid", "--seeds", 40], "119", "14 h 52 min on 8 GPUs"),
        (["grid"], "2", "1 h 0 min on 8 GPUs"),
        ([BO, "--rounds", 3, "--trials-per-round", 4], "12", "3 h 0 min on 8 GPUs"),
        ([BO, "--rounds", 3, "--trials-per-round", 16], "48", "6 h 0 min on 8 GPUs"),
    ],
)
def test_hours_rest_on_rows_and_are_shared_among_devices(plan, ask, tmp_path, arguments, hours, wall):
    """One trial was measured at an hour. Of a search, only a round runs at a time."""
    leave(tmp_path / "results", chosen(ask, n_dis=1)[0], seconds=HOUR, device="NVIDIA H200")
    compact(tmp_path / "results")
    answer = plan(*arguments, "--methods", "none", "--n-dis", 1, "--gpus", 8)
    (row,) = table(answer).values()
    assert row["GPU-hours"] == hours
    assert last(answer) == f"about {wall}, from measured trials"


def test_hours_of_the_cores_that_there_are(plan, ask, tmp_path, monkeypatch):
    monkeypatch.setattr("study.driver.resources.local_resources", lambda: (4, 0))
    trials = chosen(ask, n_dis=1)
    leave(tmp_path / "results", trials[0], seconds=2 * HOUR)
    compact(tmp_path / "results")
    answer = plan("grid", "--methods", "none", "--seeds", 3)
    (row,) = table(answer).values()
    rest = Overview(ask(methods="none", n_dis=5, seeds=3), "cpu")
    rest.space(search_spaces.get("grid"), ["digits"])
    assert float(row["core-hours"]) == pytest.approx(8 * 2 + sum(line.seconds for line in rest.lines) / HOUR, rel=6e-3)
    assert last(answer).startswith("about 4 h 0 min on 4 CPU cores, from 8 measured trials, the rest from counted")
    monkeypatch.setattr("study.driver.resources.local_resources", lambda: (4, 2))
    assert "on 2 GPUs" in last(plan("grid", "--methods", "none"))


def test_what_searches_have_tried(plan, ask, tmp_path):
    """Proposals that are done count, of their own search; a search has nothing to run beyond its rounds."""
    ranges = trials_of(ask(methods="none", n_dis=1, settings=6), search_spaces.get("ranges"), data.get("digits"))
    longer = trials_of(
        ask(methods="none", n_dis=1, settings=9, discriminator_steps=7), search_spaces.get("ranges"), data.get("digits")
    )
    folder = tmp_path / "results"
    folder.mkdir()
    add_memberships(folder, BO, "one", ranges[:5] + longer, round=1)
    add_memberships(folder, BO, "other", ranges[:3], round=2)
    for trial in [*ranges[:4], ranges[5], *longer]:
        leave(folder, trial)
    how = BO, "--methods", "none,l2", "--rounds", 3, "--trials-per-round", 4
    rows = table(plan(*how))
    assert {words[2:]: (row["trials"], row["present"], row["to run"]) for words, row in rows.items()} == {
        ("none, n_dis 1",): ("12", "4", "8"),
        ("none, n_dis 5",): ("12", "0", "12"),
        ("l2, n_dis 1",): ("12", "0", "12"),
        ("l2, n_dis 5",): ("12", "0", "12"),
        (): ("48", "4", "44"),
    }
    rows = table(plan(BO, "--methods", "none,l2", "--n-dis", 1, "--rounds", 1, "--trials-per-round", 2))
    assert [(row["trials"], row["present"], row["to run"]) for row in rows.values()] == [
        ("2", "2", "0"),
        ("2", "0", "2"),
        ("4", "2", "2"),
    ]


def kept(path, trial, shape, *, state):
    """The size of what a trial leaves, saved as training saves it: the best generator is not the last one."""
    gan = build(trial, *shape)
    initial = initial_state(gan, torch.Generator().manual_seed(0))
    so_far = Snapshot(trial, {})
    for step in (1, 2):
        scored = Evaluation(
            trial_id=trial.id,
            discriminator_step=step,
            protocol_id=PROTOCOL.id,
            frechet_distance=float(step),
            discriminator_loss=1.0,
            generator_loss=1.0,
            penalty=0.0,
        )
        so_far = so_far.after(Checkpoint(scored, gan, initial, 1.0, 1.0, None))
    if state:
        save_state(path, so_far, shape)
    else:
        save_generator(path, so_far.best, shape)
    return path.stat().st_size


@pytest.mark.parametrize(
    ("dataset", "method"), [("digits-32", "spectral_norm"), ("digits-32", "batch_norm"), ("cifar10", "layer_norm")]
)
@pytest.mark.parametrize("architecture", ["sndcgan", "resnet_cifar"])
def test_disk_is_what_the_files_take(ask, tmp_path, dataset, method, architecture):
    how = {"methods": method, "settings": 3, "architecture": architecture, "seeds": 1}
    space, declared = search_spaces.get("grid"), data.get(dataset)
    shape = declared.channels, declared.resolution
    trial = trials_of(ask(**how), space, data.get(dataset))[0]
    file = kept(tmp_path / "generator.pt", trial, shape, state=False)
    more = kept(tmp_path / "state.pt", trial, shape, state=True)
    for keep, size in ((False, file), (True, file + more)):
        overview = Overview(ask(**how, keep_states=keep), "cpu")
        overview.space(space, [dataset])
        (line,) = overview.lines
        assert line.bytes == 3 * kept_bytes(trial, *shape, state=keep)
        assert line.bytes / 3 == pytest.approx(size, rel=0.05)


@pytest.mark.full
def test_disk_in_words(plan, ask, tmp_path):
    """At 128 px, where neither images nor weights are at hand."""
    (trial, *_) = trials_of(ask(methods="none"), search_spaces.get("grid"), data.get(CELEBA))
    assert trial.method.architecture == "resnet19"
    file = kept(tmp_path / "generator.pt", trial, (3, 128), state=False)
    (row,) = table(plan("grid", "--dataset", CELEBA, "--methods", "none")).values()
    assert row["disk"].endswith(" MB")
    assert float(row["disk"].removesuffix(" MB")) * 1e6 == pytest.approx(12 * file, rel=0.01)
    (row,) = table(plan("grid", "--dataset", CELEBA, "--methods", "none", "--keep-states")).values()
    with_states = 12 * kept_bytes(trial, 3, 128, state=True)
    assert row["disk"].endswith(" GB")
    assert float(row["disk"].removesuffix(" GB")) * 1e9 == pytest.approx(with_states, rel=0.005)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 kB"),
        (999_400, "999 kB"),
        (999_900, "1 MB"),
        (1.5e9, "1.5 GB"),
        (2.345e12, "2.35 TB"),
    ],
)
def test_bytes_in_words(size, words):
    assert _bytes(size) == words


@pytest.mark.parametrize(("hours", "words"), [(0, "0"), (0.0838, "0.0838"), (99.96, "100"), (152_535.2, "152,535")])
def test_hours_in_words(hours, words):
    assert _hours(hours) == words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["regularizatoin"], "space regularizatoin: unknown; did you mean regularization?"),
        (["--dataset", "digit"], "--dataset digit: unknown; did you mean digits?"),
        (["--methods", "spectrl"], "--methods spectrl: unknown; did you mean spectral_norm?"),
        (["--n-dis", 2], "--n-dis 2: regularization has no such setting; it has [1, 5]."),
        (["bo", "--n-dis", 2], "--n-dis 2: ranges has no such n_dis; it has [1, 5]."),
        (["bo", "--dataset", "digit"], "--dataset digit: unknown; did you mean digits?"),
        (["bo", "--rounds", 0], "--rounds 0: must be 1 or more."),
        (["--rounds", 0], "--rounds 0: must be 1 or more."),
        (["bo", "--trials-per-round", 0], "--trials-per-round 0: must be 1 or more."),
        (
            ["bo", "--settings", 3],
            "--settings 3: has no effect on a search; use --rounds and --trials-per-round instead.",
        ),
        (["bo", "--seeds", 3], "--seeds 3: has no effect on a search; use --rounds and --trials-per-round instead."),
        (["grid", "--gpus", 0], "--gpus 0: must be 1 or more."),
        (["grid", "--gpus", "half"], "Invalid value for '--gpus'"),
        (["grid", "--discriminator-steps", 0], "--discriminator-steps 0: must be 1 or more"),
        (["smoke", "--dataset", "all"], "--dataset all: smoke is not an experiment of the paper; name a dataset."),
        (["published"], "space published: has nothing for digits; it has entries for celeba-hq-128, cifar10"),
        (["grid", "--architecture", "resnet19"], "--architecture resnet19: 8 px does not fit"),
        (["bo", "--architecture", "resnet19"], "--architecture resnet19: 8 px does not fit"),
        (["grid", "smoke"], "Got unexpected extra argument"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_leaves_nothing(plan, tmp_path, arguments, message):
    answer = plan(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_damage_is_not_taken_for_an_experiment_that_is_left_out(plan, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "memberships.parquet").write_bytes(b"PAR1")
    answer = plan("--dataset", "digits", "--methods", "none")
    assert (answer.code, answer.out) == (2, "")
    assert "memberships.parquet: not a readable parquet file" in answer.err
    assert answer.err.count("\n") == 1


BIG = """[[random]]
methods = ["none"]
count = {count}
learning_rate = {{ low = 1e-5, high = 1e-2, log = true }}
beta1 = 0.5
beta2 = 0.999
n_dis = [1, 5]
"""


@pytest.fixture
def big(tmp_path, monkeypatch):
    """Writes a space of so many settings."""
    (tmp_path / "spaces").mkdir()
    monkeypatch.chdir(tmp_path / "spaces")
    return lambda count: Path("big.toml").write_text(BIG.format(count=count))


FEWER = "must be 1,000,000 or fewer: choose fewer --methods or --seeds, or fewer values in the space.\n"


@pytest.mark.parametrize("confirmed", [[], ["--yes"]])
def test_a_space_that_nobody_means_is_refused_before_it_is_made(plan, big, confirmed):
    big(10**12)
    for chosen in ([], ["--methods", "l2"]):  # one that the space does not list
        answer = plan("./big.toml", *chosen, *confirmed)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == f"space big: expands to 1,000,000,000,000 trials; {FEWER}"


@pytest.mark.parametrize("confirmed", [[], ["--yes"]])
def test_seeds_that_nobody_means_are_refused_before_they_are_counted(plan, confirmed):
    answer = plan("smoke", "--seeds", 2**63, *confirmed)
    assert (answer.code, answer.err) == (2, f"space smoke: expands to {4 * 2**63:,} trials; {FEWER}")


def test_fewer_seeds_than_those_of_the_space_are_the_ones_that_count(plan, big):
    big(10)
    Path("big.toml").write_text(f"seeds = {10**12}\n{Path('big.toml').read_text()}")
    assert plan("./big.toml", "--yes").code == 2
    assert table(plan("./big.toml", "--seeds", 2))["big", "digits", "none"]["trials"] == "20"


def test_more_devices_than_trials_are_no_error(plan):
    assert "on 9223372036854775808 GPUs" in plan("smoke", "--gpus", 2**63).out


def test_a_large_space_is_counted_where_it_is_meant(plan, big, monkeypatch):
    monkeypatch.setattr("study.driver.spaces.expand.MANY", 20)
    big(20)
    assert table(plan("./big.toml"))["big", "digits", "none"]["trials"] == "20"
    big(21)
    assert plan("./big.toml").err == "space big: expands to 21 trials, more than 20; add --yes to allow it.\n"
    assert table(plan("./big.toml", "--yes"))["big", "digits", "none"]["trials"] == "21"
