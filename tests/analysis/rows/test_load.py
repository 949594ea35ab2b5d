"""Rows are found wherever they are, and only comparable ones are let through."""

import math
import shutil
import warnings
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from analysis import load, select
from analysis.rows.load import load_checkpoints, positions
from analysis.rows.scores import scored
from analysis.rows.view import computed_once, open_rows
from study.core.errors import InputError
from study.core.evaluation import MetricProtocol
from study.storage.files import DamagedFile
from study.storage.schema import FAILED, FINISHED, STOPPED, TRIALS

OTHER = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=100, n_fake=50)


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_table_and_unmerged_parts_are_one_frame(study):
    study.add(score=1.0, seed=0)
    study.compact()
    study.add(score=2.0, seed=1)
    frame = load(study.folder)
    assert list(frame.columns) == TRIALS.names
    assert list(frame["best_frechet_distance"]) == [1.0, 2.0]


def test_a_file_many_files_and_folders_give_each_row_once(study, tmp_path):
    study.add_many(None, [3.0, 4.0])
    folder = study.compact()
    copy = shutil.copy(folder / "trials.parquet", tmp_path / "copied-rows.parquet")
    assert len(load(copy)) == len(load(str(folder))) == len(load([folder, copy])) == 2


def test_failed_row_gives_way_to_one_that_did_not(study, tmp_path):
    study.add(score=FAILED)
    failed = study.compact()
    again = type(study)(tmp_path / "again")
    again.add(score=5.0)
    assert list(load([failed, again.compact()])["status"]) == [FINISHED]


@pytest.mark.parametrize("later", [[5.0, 4.0], FAILED], ids=["finished", "failed"])
def test_stopped_row_gives_way_to_what_came_later_and_so_do_its_checkpoints(study, later):
    """As compaction has it, before and after it."""
    study.add(score=[9.0], status=STOPPED)
    study.compact()
    study.add(score=later)
    for _ in range(2):
        assert list(load(study.folder)["status"]) == [FAILED if later == FAILED else FINISHED]
        checkpoints = load_checkpoints(study.folder)
        assert list(checkpoints["frechet_distance"]) == ([] if later == FAILED else later)
        study.compact()


def test_first_of_two_finished_outcomes_stays_with_its_checkpoints(study):
    study.add(score=[9.0])
    study.compact()
    study.add(score=[5.0, 4.0])
    with pytest.warns(UserWarning, match=r"^1 trial occurs twice with different outcomes \(.*\); .* is kept\.$"):
        assert list(load(study.folder)["best_frechet_distance"]) == [9.0]
    assert list(load_checkpoints(study.folder)["frechet_distance"]) == [9.0]


@pytest.mark.parametrize("name", ["nowhere", "nowhere.parquet"])
def test_nothing_there_names_the_remedy(tmp_path, name):
    with pytest.raises(InputError, match="`study run grid --results DIR`"):
        load(tmp_path / name)


def test_empty_table_and_no_path_are_refused(tmp_path):
    pq.write_table(TRIALS.empty_table(), tmp_path / "trials.parquet")
    with pytest.raises(InputError, match="no trials; run some"):
        load(tmp_path)
    with pytest.raises(InputError, match="no path"):
        load([])


def test_damaged_files_are_named_and_left_alone(study):
    study.add_many(None, [1.0, 2.0])
    table = study.compact() / "trials.parquet"
    table.write_bytes(table.read_bytes()[:-20])
    before = files_of(study.folder)
    for path in (study.folder, table):
        with pytest.raises(DamagedFile, match=str(table)):
            load(path)
    assert files_of(study.folder) == before


def test_damaged_part_is_named(study):
    study.add(score=1.0)
    part = next(study.folder.glob("parts/*/*.json"))
    part.write_text(part.read_text()[:40])
    with pytest.raises(DamagedFile, match=part.name):
        load(study.folder)


def test_another_tables_columns_are_refused(tmp_path):
    pq.write_table(pa.table({"accuracy": [1.0]}), tmp_path / "other.parquet")
    with pytest.raises(DamagedFile, match="not a table of trials"):
        load(tmp_path / "other.parquet")


def test_two_protocols_of_a_dataset_are_listed_and_one_is_picked(study):
    study.add_many(None, [1.0, 2.0])
    study.add(score=9.0, protocol=OTHER)
    frame = load(study.folder)
    with pytest.raises(InputError) as refused:
        select(frame)
    message = str(refused.value)
    assert "(classifier, 360 real and 360 generated images): 2 rows" in message
    assert f"{OTHER.id} (classifier, 100 real and 50 generated images): 1 row" in message
    assert "--protocol ID" in message
    assert "\n" not in message
    assert list(select(frame, protocol=OTHER.id)["best_frechet_distance"]) == [9.0]


def test_protocols_of_equal_numbers_are_told_apart_by_what_is_unusual(study):
    rounded = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=90, n_fake=50, quantize=True)
    trained = replace(rounded, quantize=False, split="train")
    for protocol in (rounded, trained):
        study.add(score=9.0, protocol=protocol)
    with pytest.raises(InputError) as refused:
        select(load(study.folder))
    assert f"{rounded.id} (classifier, 90 real and 50 generated images, rounded to uint8): 1 row" in str(refused.value)
    assert f"{trained.id} (classifier, 90 real (train split) and 50 generated images): 1 row" in str(refused.value)


def test_datasets_may_differ_in_protocol(study):
    study.add(score=1.0)
    study.add(score=2.0, dataset="celeba-hq-128", protocol=OTHER)
    frame = load(study.folder)
    assert len(select(frame)) == 2
    assert set(select(frame, dataset="digits")["dataset"]) == {"digits"}
    assert len(select(frame, dataset=["digits", "celeba-hq-128"])) == 2
    with pytest.raises(InputError, match=f"--protocol {OTHER.id}: unknown"):
        select(frame, dataset="digits", protocol=OTHER.id)


@pytest.mark.parametrize(
    ("column", "other", "pick"),
    [
        ("dataset_sha256", "e" * 64, {"images": "ee"}),
        ("semantics", 1, {"semantics": 1}),
        ("precision", "bfloat16", {"precision": "bfloat16"}),
    ],
)
def test_other_images_semantics_or_precisions_are_refused_with_both(study, column, other, pick):
    study.add_many(None, [1.0, 2.0])
    frame = load(study.folder)
    usual = frame.loc[0, column]
    frame.loc[1, column] = other
    with pytest.raises(InputError) as refused:
        select(frame)
    assert f"--{next(iter(pick))} " in str(refused.value)
    assert set(select(frame, **pick)[column]) == {other}
    with pytest.raises(InputError, match="unknown"):
        select(frame, **dict.fromkeys(pick, 3))
    assert f"{column} {usual}: 1 row" in str(refused.value)
    assert f"{column} {other}: 1 row" in str(refused.value)


def test_frame_without_rows_is_refused(study):
    study.add(score=1.0)
    with pytest.raises(InputError, match="holds no trials"):
        select(load(study.folder).iloc[:0])


def test_unknown_dataset_and_protocol_get_a_suggestion(study):
    study.add(score=1.0)
    frame = load(study.folder)
    with pytest.raises(InputError, match="--dataset digit: unknown; did you mean digits"):
        select(frame, dataset="digit")
    with pytest.raises(InputError, match="--protocol none: unknown"):
        select(frame, protocol="none")


def changed(folder, name="trials", version=None, **columns):
    """Put other values into the first row of a table, or take a column out (where the value is Ellipsis)."""
    path = folder / f"{name}.parquet"
    table = pq.read_table(path)
    for column, value in columns.items():
        at = table.column_names.index(column)
        if value is ...:
            table = table.remove_column(at)
        else:
            values = [value, *table[column].to_pylist()[1:]]
            table = table.set_column(at, column, pa.array(values, table[column].type))
    table = table.replace_schema_metadata({"study-schema": version} if version else table.schema.metadata)
    pq.write_table(table, path)
    return path


def refusal(path):
    """The one line that `load` refuses with, of a file and of its folder."""
    messages = set()
    for each in (path, path.parent):
        with pytest.raises(InputError) as refused:
            load(each)
        messages.add(str(refused.value))
    (message,) = messages
    assert "\n" not in message and message.startswith(str(path))
    return message


@pytest.fixture
def folder(study):
    study.add_many(None, [3.0, 4.0])
    return study.compact()


def test_missing_columns_are_named_with_the_schema_that_the_file_says(folder):
    message = refusal(changed(folder, status=..., n_dis=...))
    assert "has no column n_dis, status (study-schema 1; 1 is known)" in message


def test_file_of_no_stated_schema_is_read_where_its_columns_fit(folder):
    path = folder / "trials.parquet"
    rows = load(path)
    rows.to_parquet(path)
    assert load(path).equals(rows)
    rows.drop(columns="method").to_parquet(path)
    assert "has no column method (study-schema not stated; 1 is known)" in refusal(path)


def test_columns_that_came_later_may_be_missing_and_unknown_ones_are_left_out(folder):
    path = changed(folder, kid_subset=..., resumptions=...)
    pq.write_table(pq.read_table(path).append_column("mine", pa.array([1, 2])), path)
    assert list(load(path).columns) == TRIALS.names


def test_columns_of_another_type_are_refused(folder):
    path = folder / "trials.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("n_dis"), "n_dis", pa.array(["one", "two"])), path)
    assert "has columns of other types" in refusal(path)


def test_rows_of_a_newer_schema_are_refused(folder):
    assert "rows of study-schema 2; this version reads up to 1. Install a newer" in refusal(
        changed(folder, version="2")
    )


def test_unknown_status_is_named(folder):
    message = refusal(changed(folder, status="finishd"))
    assert "status finishd: unknown; did you mean finished? Known: diverged, failed, finished, stopped" in message


@pytest.mark.parametrize("column", ["trial_id", "dataset", "status", "semantics", "learning_rate"])
def test_cells_that_may_not_be_empty_are_counted(folder, column):
    assert f"{column} is empty in 1 of 2 rows" in refusal(changed(folder, **{column: None}))


def test_numbers_that_are_none_are_empty_cells(folder):
    assert "beta1 is empty in 1 of 2 rows" in refusal(changed(folder, beta1=math.nan))


def test_negative_distances_are_refused(folder):
    message = refusal(changed(folder, best_frechet_distance=-7.5))
    assert (
        "best_frechet_distance -7.5 of trial" in message and "(1 such rows): a distance cannot be negative" in message
    )


def test_distance_that_rounding_made_negative_is_let_through(folder):
    assert load(changed(folder, best_frechet_distance=-1e-5))["best_frechet_distance"].min() == -1e-5


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_distances_that_are_not_finite_are_no_scores(folder, value):
    if value == -math.inf:
        assert "a distance cannot be negative" in refusal(changed(folder, best_frechet_distance=value))
        return
    rows = scored(select(load(changed(folder, best_frechet_distance=value))))
    assert len(rows) == 2 and rows["score"].notna().sum() == 1


def test_hostile_evaluations_and_memberships_are_refused(folder):
    changed(folder, "evaluations", frechet_distance=-3.0)
    with pytest.raises(InputError, match=r"evaluations.parquet: frechet_distance -3 of trial"):
        load_checkpoints(folder)
    changed(folder, "evaluations", frechet_distance=3.0, discriminator_step=None)
    with pytest.raises(InputError, match=r"discriminator_step is empty in 1 of 2 rows"):
        load_checkpoints(folder / "trials.parquet")


def test_same_row_twice_is_no_contradiction(folder, tmp_path):
    copy = shutil.copy(folder / "trials.parquet", tmp_path / "copy.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load([copy, folder])) == 2


def test_two_files_with_other_outcomes_of_a_trial_are_said(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = changed(copy, best_frechet_distance=1.0)
    with pytest.warns(UserWarning, match="1 trial occurs twice"):
        assert sorted(load([folder, path])["best_frechet_distance"]) == [3.0, 4.0]
    with pytest.warns(UserWarning, match="1 trial occurs twice"):
        assert 1.0 in set(load([path, folder])["best_frechet_distance"])


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_addresses_are_read_like_paths(folder, tmp_path, kind):
    if kind == "file":
        address = f"file://{folder}"
    else:
        address = f"memory://study-{tmp_path.name}"
        for path in folder.glob("*.parquet"):
            (UPath(address) / path.name).write_bytes(path.read_bytes())
    assert load(address).equals(load(folder))
    assert load(f"{address}/trials.parquet").equals(load(folder))
    assert load_checkpoints(f"{address}/trials.parquet").equals(load_checkpoints(folder))
    assert sorted(open_rows(f"{address}/trials.parquet").checkpoints["frechet_distance"]) == [3.0, 4.0]
    with pytest.raises(InputError, match="no such file"):
        load(f"{address}/nothing.parquet")


def test_address_that_nothing_reads_is_refused():
    with pytest.raises(InputError, match=r"nonsense://somewhere: cannot be reached"):
        load("nonsense://somewhere")


def test_published_study_is_parquet_files_in_a_folder(study, tmp_path):
    study.add_many(None, [3.0, [5.0, 4.0]])
    study.random([6.0])
    whole = open_rows(study.compact())
    published = tmp_path / "published"
    published.mkdir()
    for name in ("trials", "evaluations", "memberships"):
        shutil.copy(study.folder / f"{name}.parquet", published)
    for path in (published, published / "trials.parquet"):
        rows = open_rows(path)
        assert rows.folder == published
        assert rows.trials.equals(whole.trials)
        assert rows.checkpoints.equals(whole.checkpoints) and len(rows.checkpoints) == 4
        assert rows.members.equals(whole.members) and len(rows.members) == 1


def test_file_that_stands_alone_has_neither_checkpoints_nor_members(folder, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    rows = open_rows(shutil.copy(folder / "trials.parquet", alone))
    assert rows.folder is None
    assert rows.checkpoints.empty and "frechet_distance" in rows.checkpoints
    assert rows.members.empty and not rows.adaptive.any()
    assert load_checkpoints(alone / "trials.parquet").empty


def test_checkpoints_find_the_row_of_their_trial_under_their_protocol():
    trials = pd.DataFrame({"trial_id": ["a", "b", "a"], "protocol_id": ["p", "p", "q"]})
    checkpoints = pd.DataFrame({"trial_id": ["a", "a", "b", "c", "b"], "protocol_id": ["q", "p", "p", "p", "q"]})
    assert positions(checkpoints, trials).tolist() == [2, 0, 1, -1, -1]


def test_fewer_columns_of_checkpoints_are_those_of_all(study):
    study.add_many(None, [1.0, 2.0])
    few, every = load_checkpoints(study.folder, ["kernel_distance"]), load_checkpoints(study.folder)
    assert list(few) == ["trial_id", "discriminator_step", "protocol_id", "frechet_distance", "kernel_distance"]
    assert len(few) > 1
    pd.testing.assert_frame_equal(few, every[list(few)])
    study.compact()
    pd.testing.assert_frame_equal(load_checkpoints(study.folder, ["kernel_distance"]), few)


def test_what_several_show_is_computed_once_for_the_same_rows(study):
    study.add_many(None, [1.0, 2.0])
    calls = []

    @computed_once
    def work(rows):
        calls.append(rows)
        return len(rows.trials)

    rows, others = open_rows(study.folder), open_rows(study.folder)
    assert [work(rows), work(rows), work(others), work(replace(rows, fraction=0.5))] == [2, 2, 2, 2]
    assert len(calls) == 3
