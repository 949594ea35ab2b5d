"""Rows are found wherever they are, and only comparable ones are let through."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import load, select
from analysis.load import load_checkpoints
from study.names import InputError
from study.results import DamagedFile
from study.rows import FAILED, FINISHED, STOPPED, TRIALS
from study.trial import MetricProtocol

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
    assert list(load(study.folder)["best_frechet_distance"]) == [9.0]
    assert list(load_checkpoints(study.folder)["frechet_distance"]) == [9.0]


@pytest.mark.parametrize("name", ["nowhere", "nowhere.parquet"])
def test_nothing_there_names_the_remedy(tmp_path, name):
    with pytest.raises(InputError, match="`study run grid --results DIR`"):
        load(tmp_path / name)


def test_empty_table_and_no_path_are_refused(tmp_path):
    pq.write_table(TRIALS.empty_table(), tmp_path / "trials.parquet")
    with pytest.raises(InputError, match="nothing has been run there"):
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
    assert f"{OTHER.id} (classifier, 100 real and 50 generated images): 1 rows" in message
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
    assert f"{rounded.id} (classifier, 90 real and 50 generated images, rounded to uint8): 1 rows" in str(refused.value)
    assert f"{trained.id} (classifier, 90 real (train split) and 50 generated images): 1 rows" in str(refused.value)


def test_datasets_may_differ_in_protocol(study):
    study.add(score=1.0)
    study.add(score=2.0, dataset="celeba-hq-128", protocol=OTHER)
    frame = load(study.folder)
    assert len(select(frame)) == 2
    assert set(select(frame, dataset="digits")["dataset"]) == {"digits"}
    assert len(select(frame, dataset=["digits", "celeba-hq-128"])) == 2
    with pytest.raises(InputError, match=f"--protocol {OTHER.id}: unknown"):
        select(frame, dataset="digits", protocol=OTHER.id)


@pytest.mark.parametrize(("column", "other"), [("dataset_sha256", "e" * 64), ("semantics", 2)])
def test_other_images_or_semantics_are_refused_with_both(study, column, other):
    study.add_many(None, [1.0, 2.0])
    frame = load(study.folder)
    usual = frame.loc[0, column]
    frame.loc[1, column] = other
    with pytest.raises(InputError) as refused:
        select(frame)
    assert f"{column} {usual}: 1 rows" in str(refused.value)
    assert f"{column} {other}: 1 rows" in str(refused.value)


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
