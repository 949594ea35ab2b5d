"""Every command that the pages for newcomers write out is run, as it stands or made small by options behind it.

Each has a working folder, a home and prepared data of its own. Those that train through Ray, draw everything or measure
are slow tests, the others quick ones.
"""

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.exceptions import TyperException

from tests.conftest import Answer, quick_only, study_process
from tests.documents.documents import ROOT
from tests.documents.written import in_document, parse
from tests.parts import leave
from tests.requests import make_request

PAGES = ("README.md", "study/README.md", "search_spaces/README.md")
NOT_RUN = {
    "study data prepare cifar10 --download": "downloads",
    "study data prepare celeba-hq-128 --source ~/celeba-hq/data128x128": "needs those 30,000 images",
    "study data prepare lsun-bedroom-128 --source ~/lsun/bedroom_train_lmdb": "needs those 3 million images",
    "study run regularization --dataset celeba-hq-128 --address auto --results /shared/results --trials-per-gpu 2": (
        "needs a cluster with GPUs"
    ),
    "study bo --dataset celeba-hq-128 --address auto --results /shared/results": "needs a cluster",
    "study run grid --address auto --results /shared/results": "needs a cluster",
    "study run grid --address HOST:PORT --trials-per-gpu 4": "needs a cluster with GPUs",
    "study run grid --precision bfloat16": "needs instructions that many machines lack",
    "study run grid --methods pearson+spectral_norm": "needs the loss that the page has just added",
    "study bench --all": "takes an hour, and no option makes it smaller",
}
"""The commands that no test runs, and why."""
TINY = "--discriminator-steps 2 --n-real 100 --n-fake 100"
NETWORKS = "--architecture sndcgan --resolution 8 --width 8 --batch-size 2 --repeats 1"
SMALL = {
    "study run seeds": "--settings 1 --seeds 3",
    "study run": f"--dataset digits --settings 1 --seeds 1 {TINY}",
    "study bo": f"--dataset digits --rounds 1 --trials-per-round 2 --methods none --n-dis 1 {TINY}",
    "study train": TINY,
    "study bench": NETWORKS,
    "study selfcheck": "--device cpu --short",
    "study evaluate": "--n-real 100 --n-fake 40",
    "study compare-protocols": "--n-real 100 --n-fake 40",
    "study data baseline": "--n-real 100",
}
"""What is put behind a command so that it takes seconds: of the first name that it begins with."""
SLOW = ("study run", "study bo", "study bench", "study selfcheck", "study report", "study figures")
FULL = ("study plan", "study export --optuna", "study status --results /shared/results --watch")
"""Those that count the operations of all networks of the paper, write all published trials, or wait."""
ELSEWHERE = {"/shared/results": "results", "NAME": "smoke"}
"""Words of the pages that are not here, and what is."""
MY_SPACE = """\
[[blocks]]
methods = ["none", "spectral_norm"]
learning_rate = 2e-4
beta1 = 0.5
beta2 = 0.999
n_dis = 1
"""


def commands() -> list[str]:
    """All that are whole; a name within a sentence that lacks arguments is none."""
    found = [each for page in PAGES if (ROOT / page).is_file() for each in in_document((ROOT / page).read_text())]
    return list(dict.fromkeys(each.text for each in found if each.whole or _can_be_typed(each.text)))


def _can_be_typed(command: str) -> bool:
    try:
        parse(command)
    except TyperException:
        return False
    return True


def _cases(*, slow: bool) -> list[str]:
    return [each for each in commands() if each not in NOT_RUN and each.startswith(SLOW) == slow]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with what commands speak of: a grid that ended, a kept generator, images, files of one's own."""
    from study import data
    from study.driver.planning import plan
    from study.driver.spaces import user_space
    from study.storage.memberships import add_memberships
    from study.storage.tables import compact
    from study.training.bench.cases import Case
    from study.worker.execute import execute

    folder = tmp_path_factory.mktemp("ground")
    rng = np.random.default_rng(0)
    for place, side in (("DIR", 8), ("home/pictures", 64)):
        (folder / place).mkdir(parents=True)
        for number, pixels in enumerate(rng.integers(0, 256, (50, side, side), dtype=np.uint8)):
            Image.fromarray(pixels).save(folder / place / f"{number}.png")
    data.prepare("mine", folder / "DIR", folder / "data", resolution=64)

    grid = user_space.find("grid")
    where = {"datasets": ["digits"], "results": folder / "results", "data_dir": folder / "data"}
    asked = make_request(**where, seeds=2)
    planned = plan.make_plan(asked, grid)
    for number, one in enumerate(planned):
        known = {"protocol": one.context.protocol, "dataset_sha256": one.context.dataset_sha256}
        leave(where["results"], one.trial, 100 + number % 17, seconds=1.0 + number % 3, **known)
    small = {"methods": "none", "settings": 1, "seeds": 1, "n_dis": 1, "discriminator_steps": 2}
    (real,) = plan.make_plan(make_request(**where, **small), grid)
    assert execute(real.trial, real.context, "cpu").status == "finished"
    (folder / "TRIAL_ID").write_text(real.trial.id)
    compact(where["results"])
    add_memberships(where["results"], "grid", "digits", [one.trial for one in planned])
    add_memberships(where["results"], "bo", "digits none", [one.trial for one in planned[:10]], round=1)

    measured = [{**asdict(Case(device=each)), "batch": 64, "images_per_second": 9.0} for each in ("cpu", "cuda")]
    (folder / "rows.json").write_text(json.dumps(measured))
    shutil.copy(folder / "rows.json", folder / "FILE")
    (folder / "my_space.toml").write_text(MY_SPACE)
    if (ROOT / "results" / "published").is_dir():
        shutil.copytree(ROOT / "results" / "published", where["results"] / "published")
    return folder


@pytest.fixture
def typed(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Goes to such a folder, and says what is typed there for a command, after `study`."""
    shutil.copytree(ground, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for name, value in {"HOME": tmp_path / "home", "STUDY_DATA": tmp_path / "data", "PYTHONPATH": ROOT}.items():
        monkeypatch.setenv(name, str(value))

    def words(command: str) -> list[str]:
        if command.startswith("study data prepare"):
            monkeypatch.setenv("STUDY_DATA", str(tmp_path / "new"))
        elsewhere = {**ELSEWHERE, "TRIAL_ID": (tmp_path / "TRIAL_ID").read_text()}
        small = next((options for name, options in SMALL.items() if f"{command} ".startswith(f"{name} ")), "")
        said = [str(Path(word).expanduser()) if word.startswith("~") else word for word in shlex.split(command)[1:]]
        return [elsewhere.get(word, word) for word in said] + small.split()

    return words


@pytest.mark.parametrize(
    "command", quick_only(cases := _cases(slow=False), [c for c in cases if not c.startswith(FULL)])
)
def test_a_quick_command_runs(command: str, typed: Callable[[str], list[str]], study: Callable[..., Answer]) -> None:
    answer = study(*typed(command))
    assert answer.code == 0, answer.err
    assert answer.out.strip()


@pytest.mark.slow
@pytest.mark.parametrize("command", _cases(slow=True))
def test_a_slow_command_runs(command: str, typed: Callable[[str], list[str]]) -> None:
    out, err = (process := study_process(*typed(command))).communicate(timeout=600)
    assert process.returncode == 0, err
    assert out.strip()


def test_the_pages_have_commands_and_none_that_is_not_run_was_misspelt() -> None:
    assert len(commands()) >= 10
    for command in NOT_RUN:
        parse(command)
