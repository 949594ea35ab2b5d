"""What is in cluster/: commands that the command line has, resources that fit together, and no secret."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import ray
import typer
import yaml
from typer.exceptions import TyperException

from study.cli import main
from study.driver.request import ResourceOptions
from study.driver.resources import make_slots

CLUSTER = Path(__file__).parents[2] / "cluster"
README = (CLUSTER / "README.md").read_text()
SCRIPTS = sorted((CLUSTER / "slurm").glob("*.sbatch"))
EXAMPLE = ["run", "grid", "--dataset", "celeba-hq-128"]
NODES, GPUS = 2, 4


def parse(arguments: list[str]) -> dict:
    """The parameters of a `study` command; raises where the command line has no such command, option or value."""
    command = typer.main.get_command(main.app)
    context = command.make_context("study", list(arguments), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        _, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(command.name, rest, parent=context)
    return context.params


SHARDS = any("--shard" in option.opts for option in typer.main.get_command(main.app).commands["run"].params)
needs_shards = pytest.mark.skipif(not SHARDS, reason="`study run` has no --shard")


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def pods() -> Iterator[tuple[str, dict]]:
    """Name and template of each group of pods."""
    spec = ray_job()["spec"]["rayClusterSpec"]
    yield "head", spec["headGroupSpec"]["template"]["spec"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]["spec"]


def ray_job() -> dict:
    (job,) = [each for each in documents("kubernetes/study.yaml") if each["kind"] == "RayJob"]
    return job


def written_commands() -> Iterator[tuple[str, str]]:
    """Every `study ...` that is written out, with the file where it stands."""
    for path in sorted(CLUSTER.rglob("*")):
        if path.is_file():
            text = path.read_text().replace("\\\n", " ")
            for match in re.finditer(
                r"(?:^|[`'\"]|: |&& |-- |job\.sh )(study (?:run|status|data|bo|plan|report) [^`'\"#\n&|;]*)", text, re.M
            ):
                if "${" not in match[1] and match[1] != "study run ":  # its arguments are variables
                    yield path.name, match[1]


COMMANDS = list(written_commands())


def test_commands_are_found_in_every_kind_of_file() -> None:
    assert {name for name, _ in COMMANDS} >= {"README.md", "study.yaml", "cluster.yaml"}
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_the_command_line_knows_every_command(name: str, command: str) -> None:
    words = shlex.split(command)
    if "--shard" in words and not SHARDS:
        pytest.skip("`study run` has no --shard")
    parse(words[1:])


@pytest.mark.parametrize("wrong", ["run grid --adress auto", "status --watch --evry 3", "rnu grid", "run"])
def test_a_command_that_is_not_there_is_noticed(wrong: str) -> None:
    with pytest.raises(TyperException):
        parse(wrong.split())


def directives(script: Path) -> dict[str, str]:
    lines = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script.read_text(), re.M)
    return dict(lines)


@pytest.fixture
def slurm(tmp_path: Path) -> Path:
    """Stand-ins for what the scripts call; each that matters writes down its arguments and environment."""
    stubs = {
        "srun": 'echo "srun $*" >> "$LOG"; while [[ $1 == --* ]]; do shift; done; exec "$@"',
        "ray": 'echo "ray $*" >> "$LOG"; [[ $* != "start --head "* ]] || exit "${RAY_EXIT:-0}"',
        "study": 'echo "study $*" >> "$LOG"; env > "$LOG.env"; sleep "${STUDY_SLEEPS:-0}"; exit "${STUDY_EXIT:-0}"',
        "scontrol": 'echo "scontrol $*" >> "$LOG"; echo node1',
        "getent": "echo 127.0.1.1 node1",
        "hostname": "echo 10.1.2.3 192.168.0.1",
    }
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    for name, body in stubs.items():
        path = folder / name
        path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def start(script: str, slurm: Path, **environment: str) -> subprocess.Popen:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "RAY", "STUDY", "OMP"))}
    given = {
        "LOG": str(slurm / "log"),
        "STUDY_VENV": str(slurm / "venv"),
        "SLURM_JOB_ID": "123456",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "16",
        "SLURM_GPUS_ON_NODE": "4",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_TASK_COUNT": "8",
    }
    command = ["bash", str(CLUSTER / "slurm" / script)]
    return subprocess.Popen(command, env={**kept, **given, **environment}, cwd=slurm, stdout=subprocess.PIPE, text=True)


def called(slurm: Path, program: str) -> list[list[str]]:
    lines = (slurm / "log").read_text().splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{program} ")]


def test_the_slurm_job_starts_one_study_on_all_nodes(slurm: Path) -> None:
    assert start("study.sbatch", slurm, STUDY_SLEEPS="1").wait(timeout=30) == 0
    (start_others,), (command,) = (called(slurm, name) for name in ("srun", "study"))
    places = shlex.split("--export=ALL --nodes=1 --ntasks=1 --cpus-per-task=16 --exclude=node1 --kill-on-bad-exit=0")
    address = f"10.1.2.3:{20000 + 123456 % 10000}"  # and not the loopback address that the machine has for its name
    resources = ["--num-cpus", "16", "--num-gpus", "4"]
    assert start_others == [*places, "ray", "start", "--address", address, "--block", *resources]
    head = ["start", "--head", "--node-ip-address", "10.1.2.3", "--port", address.partition(":")[2], *resources]
    assert called(slurm, "ray")[0] == head and called(slurm, "ray")[-1] == ["stop"]
    parameters = parse(command)
    assert command[: len(EXAMPLE)] == EXAMPLE
    assert (parameters["address"], parameters["results"]) == (address, slurm / "results")


def test_a_slurm_job_fails_if_ray_does_not_start(slurm: Path) -> None:
    assert start("study.sbatch", slurm, RAY_EXIT="4").wait(timeout=30) == 4
    assert not called(slurm, "study") and called(slurm, "ray")[-1] == ["stop"]


@pytest.mark.full
@needs_shards
def test_a_task_of_the_array_runs_its_share(slurm: Path) -> None:
    assert start("array.sbatch", slurm).wait(timeout=30) == 0
    (command,) = called(slurm, "study")
    parameters = parse(command)
    assert command[: len(EXAMPLE)] == EXAMPLE
    assert "3/8" in command
    assert (parameters["address"], parameters["max_concurrent"]) == (None, 16)
    (slurm / "log").unlink()
    start("array.sbatch", slurm, STUDY_SHARDS="12", SLURM_ARRAY_TASK_COUNT="1").wait(timeout=30)
    assert "3/12" in called(slurm, "study")[0]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_slurm_scripts_take_another_study_and_make_a_token_of_their_own(script: Path, slurm: Path) -> None:
    tokens = []
    for _ in range(2):
        assert start(script.name, slurm, STUDY_ARGS="smoke --seeds 2", STUDY_RESULTS="/there").wait(timeout=30) == 0
        command = called(slurm, "study")[-1]
        assert command[:4] == ["run", "smoke", "--seeds", "2"]
        assert command[-2:] == ["--results", "/there"]
        environment = dict(line.partition("=")[::2] for line in (slurm / "log.env").read_text().splitlines())
        assert (environment["RAY_AUTH_MODE"], environment["OMP_NUM_THREADS"]) == ("token", "1")
        tokens.append(environment["RAY_AUTH_TOKEN"])
    assert re.fullmatch("[0-9a-f]{64}", tokens[0]) and tokens[0] != tokens[1]
    assert tokens[0] not in (slurm / "log").read_text()
    start(script.name, slurm, RAY_AUTH_TOKEN="given").wait(timeout=30)
    assert "RAY_AUTH_TOKEN=given\n" in (slurm / "log.env").read_text()


@pytest.mark.full
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_slurm_job_is_queued_again_before_its_time_is_up_and_ends_as_its_study(script: Path, slurm: Path) -> None:
    assert {"requeue", "time"} <= set(directives(script))
    assert directives(script)["signal"].startswith("B:USR1@")
    job = start(script.name, slurm, STUDY_SLEEPS="2", STUDY_EXIT="3")
    while not (slurm / "log.env").exists():
        assert job.poll() is None
    job.send_signal(10)  # USR1
    assert job.wait(timeout=30) == 3
    assert ["requeue", "123456"] in called(slurm, "scontrol")
    assert start(script.name, slurm).wait(timeout=30) == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_shell(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    checked = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_what_is_asked_for_is_what_the_launcher_uses_and_the_same_everywhere() -> None:
    job = directives(CLUSTER / "slurm" / "study.sbatch")
    slurm = int(job["nodes"]), int(job["cpus-per-task"]), int(job["gpus-per-node"])

    (group,) = ray_job()["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    resources = dict(pods())["gpu"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"]
    kubernetes = group["replicas"], int(resources["limits"]["cpu"]), resources["limits"]["nvidia.com/gpu"]
    assert ray_job()["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"

    (cloud,) = documents("ray/cluster.yaml")
    workers = cloud["available_node_types"]["gpu"]
    assert cloud["max_workers"] == workers["min_workers"] == workers["max_workers"]
    assert cloud["available_node_types"][cloud["head_node_type"]]["resources"] == {"CPU": 0}
    machines = workers["min_workers"], workers["resources"]["CPU"], workers["resources"]["GPU"]

    for nodes, cpus, gpus in (slurm, kubernetes, machines):
        slots = make_slots(nodes * cpus, nodes * gpus, ResourceOptions(gpus_per_trial=None, max_concurrent=None))
        assert (nodes, gpus) == (NODES, GPUS)
        assert (slots.concurrent, slots.gpus_per_trial) == (NODES * GPUS, 1)

    array = directives(CLUSTER / "slurm" / "array.sbatch")
    assert (array["array"], array["gpus-per-node"]) == (f"1-{NODES * GPUS}", "1")
    assert (
        make_slots(int(array["cpus-per-task"]), 1, ResourceOptions(gpus_per_trial=None, max_concurrent=4)).concurrent
        == 1
    )


def test_the_cloud_file_has_rays_own_schema() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    (cloud,) = documents("ray/cluster.yaml")
    jsonschema.validate(cloud, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cloud, "min_wokers": 2}, schema)


def closed(**properties: object) -> dict:
    """An object that has these properties, all of them and nothing else."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


# What study.yaml uses of rayjobs.ray.io, v1: RayJobSpec and RayClusterSpec in ray-operator/apis/ray/v1 of
# ray-project/kuberay, and AuthOptions in the API reference of KubeRay 1.6.2. Pods are of Kubernetes itself, and only
# looked into where the study depends on them.
TEXT, COUNT, POD = {"type": "string"}, {"type": "integer", "minimum": 0}, closed(spec={"type": "object"})
START = {"type": "object", "additionalProperties": TEXT}
RAY_JOB = closed(
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=closed(name=TEXT),
    spec=closed(
        entrypoint=TEXT,
        backoffLimit=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=closed(
            rayVersion=TEXT,
            authOptions=closed(mode={"enum": ["disabled", "token"]}),
            headGroupSpec=closed(rayStartParams=START, template=POD),
            workerGroupSpecs={
                "type": "array",
                "items": closed(
                    groupName=TEXT,
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    rayStartParams=START,
                    template=POD,
                ),
            },
        ),
    ),
)


def test_the_ray_job_is_one_and_asks_for_a_token() -> None:
    jsonschema.validate(ray_job(), RAY_JOB)
    assert ray_job()["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert ray_job()["spec"]["backoffLimit"] > 0
    entrypoint = ray_job()["spec"]["entrypoint"]
    assert not set("$'\"\\;|&") & set(entrypoint), "several shells read it"
    shell, script, _, *words = shlex.split(entrypoint)
    assert shell == "bash" and f"cluster/kubernetes/job.sh {script}\n" in (CLUSTER / "Dockerfile").read_text()
    assert words[: len(EXAMPLE)] == EXAMPLE
    parameters = parse(words)
    assert (parameters["address"], parameters["gpus_per_trial"]) == ("auto", 1)


@pytest.mark.parametrize(("code", "told"), [(0, 0), (3, 0), (1, 1), (2, 2), (130, 130), (137, 137)])
def test_trials_that_failed_for_good_are_no_reason_to_try_the_job_again(code: int, told: int) -> None:
    command = ["bash", str(CLUSTER / "kubernetes" / "job.sh"), "bash", "-c", 'exit "$1"', "-", str(code)]
    assert subprocess.run(command).returncode == told


def test_every_pod_mounts_what_the_study_reads_and_writes() -> None:
    claims = {
        each["metadata"]["name"]: each["spec"]["accessModes"]
        for each in documents("kubernetes/study.yaml")
        if each["kind"] == "PersistentVolumeClaim"
    }
    assert claims == {"study-data": ["ReadWriteMany"], "study-results": ["ReadWriteMany"]}
    (shell,) = documents("kubernetes/prepare.yaml")
    for name, pod in [*pods(), ("shell", shell["spec"])]:
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        (container,) = pod["containers"]
        mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
        environment = {each["name"]: each["value"] for each in container["env"]}
        assert mounts["/data"]["persistentVolumeClaim"] == {"claimName": "study-data"}, name
        assert mounts["/results"]["persistentVolumeClaim"] == {"claimName": "study-results"}, name
        assert all(environment[each].startswith("/data/") for each in ("STUDY_DATA", "TORCH_HOME")), name
        assert pod["securityContext"]["runAsNonRoot"] is True
        if name != "shell":
            assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory", name


def test_the_image_has_no_root_and_nothing_unpinned() -> None:
    steps = (CLUSTER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    assert "USER study" in steps
    assert not any(step.startswith("USER root") for step in steps)
    installs = [step for step in steps if "pip install" in step and not step.startswith("#")]
    assert len(installs) == 2
    assert all("-c source/constraints.txt" in step for step in installs)
    root = CLUSTER.parent
    copied = [word for step in steps if step.startswith("COPY") for word in step.split()[2:-1]]
    assert copied and all((root / word).exists() for word in copied)
    pins = [line for line in (CLUSTER / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    twice = {pin.partition("==")[0] for pin in pins} & set(
        re.findall("^(.*)==", (root / "constraints.txt").read_text(), re.M)
    )
    assert not twice


def test_versions_are_those_that_are_tested() -> None:
    pinned = dict(re.findall("^(.*)==(.*)$", (CLUSTER.parent / "constraints.txt").read_text(), re.M))
    assert ray_job()["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]


def test_no_file_holds_a_secret() -> None:
    value = re.compile(r"(?i)(token|password|secret|key)\w*[\"']?\s*[:=]\s*[\"']?[\w+/-]{12,}")
    assert value.search("RAY_AUTH_TOKEN=0123456789abcdef")
    for path in CLUSTER.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert not value.search(text), path
            assert not re.search(r"\b[0-9a-fA-F]{32,}\b|-----BEGIN|AKIA[0-9A-Z]{16}", text), path


def test_the_readme_names_every_file() -> None:
    for path in CLUSTER.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert f"`{path.relative_to(CLUSTER)}`" in README, path
