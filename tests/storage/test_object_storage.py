"""A study whose results are on object storage: a real client, against a server of the same protocol on this machine.

Needs s3fs and moto[server].
"""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from study.storage.files import parse_location
from study.storage.parts import part_paths
from study.storage.tables import read_table
from tests.conftest import Answer, study_process

pytestmark = pytest.mark.slow

SMALL = ("--methods", "none,spectral_norm", "--settings", "2", "--discriminator-steps", "30", "--n-real", "64")
SMALL = (*SMALL, "--n-fake", "64")
SAME = ("trial_id", "protocol_id", "status", "best_step", "best_frechet_distance", "final_frechet_distance")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty bucket."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        parse_location("s3://study").fs.mkdir("study")
        yield "s3://study"
    server.stop()


def finish(*arguments: object) -> Answer:
    process = study_process(*arguments)
    out, err = process.communicate(timeout=400)
    return Answer(process.returncode, out, err)


def rows(results: object) -> list[dict[str, Any]]:
    trials = read_table(parse_location(results), "trials").select(SAME).to_pylist()  # type: ignore[arg-type]
    return sorted(trials, key=lambda row: row["trial_id"])


def test_a_study_there_is_the_study_on_a_disk(bucket, tmp_path):
    results = f"{bucket}/grid"
    answer = finish("run", "grid", *SMALL, "--results", results)
    assert answer.code == 0, answer.err
    assert f"rows: {results}/trials.parquet" in answer.out
    names = {str(path).removeprefix(f"{results}/").split("/")[0] for path in parse_location(results).glob("**/*")}
    tables = {"trials.parquet", "evaluations.parquet", "memberships.parquet"}
    assert {name for name in names if "." in name} == tables, "no claim and no temporary file stays"
    assert len(list(parse_location(results).glob("states/*/*/generator.pt"))) == 4
    assert not list(part_paths(parse_location(results)))
    assert not list(parse_location(results).glob("unfinished/*"))
    assert len(list(parse_location(results).glob("figures/*.png"))) == 1
    assert finish("run", "grid", *SMALL, "--results", tmp_path).code == 0
    assert rows(results) == rows(tmp_path)
    again = finish("run", "grid", *SMALL, "--results", results)
    assert (again.code, "all 4 trials are done" in again.out) == (0, True), again.err
    for command in (("report",), ("status",), ("sample", rows(results)[0]["trial_id"])):
        answer = finish(*command, "--results", results)
        assert (answer.code, answer.err) == (0, ""), command
    assert "4 finished, 0 to run" in finish("status", "--results", results).out


def test_a_driver_that_is_killed_loses_nothing_there(bucket, tmp_path):
    results = parse_location(f"{bucket}/killed")
    process = study_process("run", "grid", *SMALL, "--results", results)
    while not list(part_paths(results)):
        assert process.poll() is None
    second = finish("run", "grid", *SMALL, "--results", results)
    assert (second.code, f"in use by process {process.pid}" in second.err) == (2, True), second
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = rows(results)
    answer = finish("run", "grid", *SMALL, "--results", results)
    assert answer.code == 0, answer.err
    assert len(rows(results)) == 4
    assert all(row in rows(results) for row in done)
    assert finish("run", "grid", *SMALL, "--results", tmp_path).code == 0
    assert rows(results) == rows(tmp_path)


def test_storage_that_is_not_there_is_one_line(bucket):
    answer = finish("run", "grid", *SMALL, "--results", "s3://no-such-bucket/grid")
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
    assert "s3://no-such-bucket/grid" in answer.err
