"""The menu of datasets and the folder that holds what is prepared."""

import subprocess
import sys
from pathlib import Path

import pytest

import study.data
from study.core.errors import InputError
from study.data import built_in, data_dir, get, is_ready, load, prepare, size_on_disk

DATA = Path(study.data.__file__).parent


def test_every_module_that_declares_a_dataset_is_on_the_menu_under_its_name():
    declaring = {
        path.stem.replace("_", "-") for path in (DATA / "datasets").glob("*.py") if "\nDATASET = " in path.read_text()
    }
    assert declaring == set(built_in()) >= {"digits", "digits-32", "cifar10", "celeba-hq-128", "lsun-bedroom-128"}
    assert all(name == dataset.name for name, dataset in built_in().items())


@pytest.mark.parametrize("dataset", built_in().values(), ids=list(built_in()))
def test_defaults_score_at_least_four_checkpoints_and_end_on_one(dataset):
    assert dataset.discriminator_steps % dataset.checkpoint_every == 0
    assert dataset.discriminator_steps // dataset.checkpoint_every >= 4
    assert "\n" not in dataset.description


def test_unknown_name_is_answered_with_the_closest():
    with pytest.raises(InputError, match=r"^--dataset celebahq: unknown; did you mean celeba-hq-128\? Known: .*digits"):
        get("celebahq")


def test_importing_the_menu_imports_no_heavy_package():
    heavy = "{'torch', 'ray', 'sklearn', 'PIL', 'scipy', 'pandas', 'pyarrow', 'lmdb', 'datasets'}"
    code = f"import sys, study.data; study.data.all_datasets(); print({heavy} & set(sys.modules))"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=DATA.parent.parent)
    assert printed.strip() == "set()"


def test_data_dir_is_the_option_then_the_variable_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_dir(tmp_path / "option") == tmp_path / "option"
    assert data_dir(None) == tmp_path / "variable"
    monkeypatch.setenv("STUDY_DATA", "")
    assert data_dir(None) == tmp_path / "cache" / "gan-study"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_dir(None) == tmp_path / ".cache" / "gan-study"
    assert data_dir("~/here") == tmp_path / "here"


def test_a_home_that_is_not_known_is_one_line():
    with pytest.raises(InputError, match=r"^~no-such-name/x: the home folder is not known; give the whole path"):
        data_dir("~no-such-name/x")


def test_not_prepared_names_the_command_that_helps(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"study data prepare celeba-hq-128 --source DIR --data-dir '?/.*'?$"):
        load("celeba-hq-128", tmp_path)
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"not prepared in .*; run: study data prepare celeba-hq-128 --source DIR$"):
        load("celeba-hq-128")
    assert not is_ready("celeba-hq-128")
    assert size_on_disk("celeba-hq-128") == 0


def test_the_declarations_of_the_study():
    menu = built_in()
    cifar, lsun, celeba = menu["cifar10"], menu["lsun-bedroom-128"], menu["celeba-hq-128"]
    assert (cifar.counts, cifar.shape, cifar.labelled) == ((50_000, 10_000), (3, 32, 32), True)
    assert (cifar.discriminator_steps, cifar.checkpoint_every, cifar.width) == (200_000, 20_000, 64)
    assert (cifar.download.md5, cifar.extractor) == ("c58f30108f718f92721af3b95e74349a", "inception-v3-compat")
    assert (celeba.counts, celeba.test_fraction, celeba.fit) == ((27_000, 3_000), 0.1, "exact")
    assert (lsun.shape, lsun.test_fraction, lsun.fit) == ((3, 128, 128), 0.01, "pad")
    assert {dataset.discriminator_steps for dataset in (lsun, celeba)} == {100_000}
    assert {dataset.checkpoint_every for dataset in (lsun, celeba)} == {20_000}
    assert {dataset.n_score for dataset in menu.values()} == {10_000}


def test_an_embedded_dataset_is_ready_and_refuses_to_be_prepared(tmp_path):
    assert is_ready("digits", tmp_path)
    assert size_on_disk("digits", tmp_path) == 0
    with pytest.raises(InputError, match="dataset digits: comes with the package"):
        prepare("digits", tmp_path, tmp_path)
