"""What a node is asked, and what is said where something is missing there; without Ray."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import study
from study import data
from study.cli.session import opened
from study.core.context import Context
from study.core.errors import InputError, StudyStops
from study.driver.planning.plan import make_context
from study.driver.planning.shard import Shard
from study.driver.scheduler import node_checks
from study.driver.scheduler.node_checks import (
    NodeReport,
    NodeRequirements,
    examine,
    node_requirements,
    refusal,
    version_differences,
)
from tests.requests import make_request


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "results").mkdir()
    request = make_request(datasets=["digits"], results=tmp_path / "results", data_dir=tmp_path / "data")
    return make_context(request, data.get("digits"))[0]


def problems(context: Context, **other: object) -> list[str]:
    """What a node that is like this machine, but for what is said, lacks."""
    with node_requirements([context], prepare=False) as asked:
        return list(examine(replace(asked, **other), "there").problems)  # type: ignore[arg-type]


def test_a_node_that_has_all_signs_and_nothing_stays(context: Context) -> None:
    with node_requirements([context], prepare=False) as asked:
        assert not node_checks._signature(context.results, asked.nonce, "there").exists()
        assert examine(asked, "there").problems == []
        assert node_checks.signed(context.results, asked.nonce, "there")
    assert list(context.results.iterdir()) == []


def test_what_a_killed_driver_left_is_removed_unless_it_may_be_anothers(tmp_path: Path) -> None:
    node_checks.sign(tmp_path, "ab" * 8, "driver")
    with opened(tmp_path, Shard(1, 2)):
        assert node_checks.signed(tmp_path, "ab" * 8, "driver")
    with opened(tmp_path):
        assert not list(tmp_path.glob(".node-*"))


def test_what_differs_is_named_with_its_remedy(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_checks, "VISIBLE_WITHIN", 0.1)
    (code,) = problems(context, digest="0" * 64, revision="abc", host="head")
    assert code.startswith("runs other code (") and "than head (abc); install the same on both" in code
    (unseen,) = problems(context, nonce="1" * 16, host="head")
    assert unseen == f"does not see --results {context.results} of head; put it where all nodes see it"
    other = replace(context, dataset_sha256="0" * 64)
    (images,) = problems(context, contexts=[other])
    assert images.startswith("dataset digits: its images in ") and "those of" in images
    other = replace(context, protocol=replace(context.protocol, weights_sha256="0" * 64))
    (weights,) = problems(context, contexts=[other])
    assert weights.startswith("--extractor classifier: its weights there have hash ")


def test_the_digest_is_of_the_source_and_of_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = Path(study.__file__).parents[1]
    for package in ("study", "search_spaces"):
        shutil.copytree(above / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(study, "__file__", str(tmp_path / "study" / "__init__.py"))
    digest = node_checks.code_digest.__wrapped__
    assert digest() == node_checks.code_digest()
    (tmp_path / "study" / "notes.txt").write_text("x")
    assert digest() == node_checks.code_digest()
    with (tmp_path / "search_spaces" / "grid.py").open("a") as file:
        file.write("\n")
    assert digest() != node_checks.code_digest()


def test_a_worker_of_other_code_stops_the_study() -> None:
    node_checks.check_code(node_checks.code_digest())
    with pytest.raises(StudyStops, match=r"joined with other code .*; install the"):
        node_checks.check_code("0" * 64)


def test_a_worker_that_does_not_see_the_results_of_the_driver_stops_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_checks, "VISIBLE_WITHIN", 0.1)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with node_checks.driver_signature(here) as nonce:
        node_checks.check_shared(here, nonce, "head")
        with pytest.raises(StudyStops, match=rf"does not see --results {there} of head; put it where all nodes see"):
            node_checks.check_shared(there, nonce, "head")
    assert not list(here.iterdir())
    node_checks.check_shared(here, nonce, "head")  # asked once in each process


def test_missing_images_are_prepared_from_the_same_source_where_that_is_asked_for(
    context: Context, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=images[:30], x_test=images[30:])
    here, there = tmp_path / "data", tmp_path / "there"
    data.prepare("mine", tmp_path / "mine.npz", here)
    manifest = data.load("mine", here).manifest
    mine = replace(context, dataset="mine", dataset_sha256=manifest["sha256"], data_dir=there)
    common = {"nonce": "1", "host": "head", "digest": "2", "revision": "3", "manifests": {"mine": manifest}}
    with pytest.raises(InputError, match=r"mine.*or add --prepare-nodes"):
        node_checks._check_images(mine, NodeRequirements(contexts=[mine], prepare=False, **common))
    node_checks._check_images(mine, NodeRequirements(contexts=[mine], prepare=True, **common))
    assert data.load("mine", there).sha256 == manifest["sha256"]


def test_problems_of_all_nodes_are_one_line_that_stays_readable() -> None:
    few = str(refusal([("a (1)", "lacks x; do y"), ("b (2)", "lacks z; do u")]))
    assert few == "node a (1): lacks x; do y | node b (2): lacks z; do u."
    many = str(refusal([(f"n{i} (1)", "lacks x; do y") for i in range(100)]))
    assert many == "node n0 (1): lacks x; do y (and 99 more problems)."


def test_other_versions_are_said_and_equal_ones_are_not() -> None:
    same = NodeReport(problems=[], versions=node_checks.versions())
    assert version_differences({"a": same}) is None
    line = version_differences({"a": same, "b (2)": NodeReport(problems=[], versions="torch 1, Python 3.1")})
    assert line is not None and line.startswith("b (2) has torch 1, Python 3.1; this machine has torch ")


def test_a_node_without_the_package_is_told() -> None:
    said = node_checks.no_answer(RuntimeError("Traceback\n  x\nModuleNotFoundError: No module named 'study'"))
    assert said.startswith("cannot run `study` (ModuleNotFoundError: No module named 'study')")
