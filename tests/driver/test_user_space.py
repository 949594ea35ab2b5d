"""Search spaces of a person's own: what a file says, the trials that it means, and every way to get it wrong."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from search_spaces.blocks import RandomBlock
from search_spaces.draws import Range
from study import data
from study.core.errors import InputError
from study.core.trial import Hyperparameters
from study.driver.planning.plan import make_plan
from study.driver.request import Selection
from study.driver.spaces.expand import expand
from study.driver.spaces.user_space import find
from study.gan.methods.losses import LOSSES
from tests.requests import make_request

ROOT = Path(__file__).parents[2]
DIGITS = data.get("digits")

BLOCK = """[[blocks]]
methods = ["none"]
learning_rate = 1e-4
beta1 = 0.5
beta2 = 0.9
n_dis = 1
"""
RANDOM = """[[random]]
methods = ["none"]
count = 3
learning_rate = { low = 1e-5, high = 1e-2, log = true }
beta1 = { low = 0, high = 0.9 }
beta2 = 0.999
n_dis = [1, 5]
"""
TABLE_1 = """[[blocks]]
methods = ["none", "gradient_penalty", "dragan", "l2", "spectral_norm", "layer_norm", "batch_norm"]
learning_rate = [2e-4, 1e-4, 1e-3]
together = [
    { beta1 = 0.5, beta2 = 0.9, n_dis = 5 },
    { beta1 = 0.5, beta2 = 0.999, n_dis = 1 },
    { beta1 = 0.5, beta2 = 0.999, n_dis = 5 },
    { beta1 = 0.9, beta2 = 0.999, n_dis = 5 },
]
penalty_weight = [1, 10]
"""
PYTHON = """from search_spaces import SearchSpace
from search_spaces.blocks import Block, Entry, RandomBlock
from search_spaces.draws import Range

AXES = {("learning_rate", "beta1", "beta2", "n_dis"): ((1e-4, 0.5, 0.9, 1),)}
BLOCK = Block(methods=({}, {"loss": "hinge"}), axes=AXES)
SPACE = SearchSpace(name="mine", description="", source="", seeds=2, blocks=(BLOCK,))
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file into the current folder, and returns its name as a person gives it."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="my_space.toml"):
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"./{name}"

    return write


def settings(name, declared=DIGITS, **asked):
    return expand(find(name), declared, Selection(**asked))


def lines(name, **asked):
    """Learning rates by (architecture, method), on images that every architecture but resnet19 takes."""
    found = {}
    for setting in settings(name, data.get("digits-32"), **asked):
        key = (setting.method.architecture, setting.method.name)
        found.setdefault(key, []).append(setting.hyperparameters.learning_rate)
    return found


def ids(space, tmp_path, **asked):
    request = make_request(datasets=["digits"], results=tmp_path / "results", data_dir=tmp_path / "data", **asked)
    return [planned.trial.id for planned in make_plan(request, space)]


def test_a_plain_name_is_one_of_the_studys():
    assert find("grid") is search_spaces.get("grid")
    with pytest.raises(InputError, match=r"^space gird: unknown; did you mean grid\?"):
        find("gird")


def test_table_1_written_out_is_the_grid(write, tmp_path):
    """The same trials in the same order; nothing of the file is in their ids."""
    grid = ids(search_spaces.get("grid"), tmp_path)
    assert len(grid) == 120
    assert ids(find(write(TABLE_1)), tmp_path) == grid
    assert ids(find(write(TABLE_1, "other.toml")), tmp_path, seeds=2)[:120] == grid


def test_what_a_toml_file_says(write):
    space = find(write(BLOCK))
    assert (space.name, space.seeds, space.source) == ("my_space", 1, "my_space.toml")
    said = write('description = "two\\n lines"\nsource = "a note"\nseeds = 4\n' + BLOCK)
    space = find(said)
    assert (space.description, space.seeds, space.source) == ("two lines", 4, "a note")
    (one,) = settings(said)
    assert one.hyperparameters == Hyperparameters(learning_rate=1e-4, beta1=0.5, beta2=0.9, n_dis=1)
    assert (one.method.name, one.method.architecture, one.seeds) == ("none", "sndcgan", 4)


SIZES = {"width": 4, "batch_size": 16, "latent_dim": 5, "checkpoint_every": 10}


def planned(space, tmp_path, **asked):
    """(width, batch size, latent dimension, checkpoint interval) of all trials that a space plans."""
    request = make_request(datasets=["digits"], results=tmp_path / "results", data_dir=tmp_path / "data", **asked)
    trainings = {(each.trial.training, each.context.checkpoint_every) for each in make_plan(request, space)}
    ((training, checkpoint_every),) = trainings
    return training.width, training.batch_size, training.latent_dim, checkpoint_every


@pytest.mark.parametrize("suffix", ["toml", "py"])
def test_sizes_of_a_file_replace_the_datasets_and_options_replace_the_files(write, tmp_path, suffix):
    if suffix == "toml":
        plain = find(write(BLOCK, "plain.toml"))
        space = find(write("".join(f"{name} = {value}\n" for name, value in SIZES.items()) + BLOCK))
    else:
        sizes = "".join(f"{name}={value}, " for name, value in SIZES.items())
        plain = find(write(PYTHON, "plain.py"))
        space = find(write(PYTHON.replace("seeds=2, ", f"seeds=2, {sizes}"), "mine.py"))
    assert planned(plain, tmp_path) == (8, 64, 128, 25)
    assert planned(space, tmp_path) == tuple(SIZES.values())
    assert planned(space, tmp_path, width=12, checkpoint_every=50) == (12, 16, 5, 50)
    assert planned(space, tmp_path, batch_size=32, latent_dim=7) == (4, 32, 7, 10)


def test_sizes_of_a_file_are_part_of_the_trials(write, tmp_path):
    """The same ids as with the options; the checkpoint interval is not part of a trial."""
    plain, sized = find(write(BLOCK, "plain.toml")), find(write("width = 4\nlatent_dim = 5\n" + BLOCK))
    assert ids(sized, tmp_path) == ids(plain, tmp_path, width=4, latent_dim=5) != ids(plain, tmp_path)
    assert ids(find(write("checkpoint_every = 10\n" + BLOCK)), tmp_path) == ids(plain, tmp_path)


def test_the_last_field_varies_fastest(write):
    text = BLOCK.replace("learning_rate = 1e-4\n", "").replace("beta1 = 0.5", "beta1 = [0.5, 0]")
    rates = [
        (s.hyperparameters.beta1, s.hyperparameters.learning_rate)
        for s in settings(write(text + "learning_rate = [1, 2.5]"))
    ]
    assert rates == [(0.5, 1), (0.5, 2.5), (0, 1), (0, 2.5)]


def test_the_weight_is_for_methods_with_a_penalty(write):
    name = write(
        BLOCK.replace('"none"', '"none", "hinge+dragan[dragan_noise=gaussian]"') + "penalty_weight = [1, 10]\n"
    )
    assert [(s.method.name, s.hyperparameters.penalty_weight) for s in settings(name)] == [
        ("none", None),
        ("hinge+dragan[dragan_noise=gaussian]", 1),
        ("hinge+dragan[dragan_noise=gaussian]", 10),
    ]


def test_one_method_and_one_number_need_no_list(write):
    assert settings(write(BLOCK.replace('["none"]', '"none"'))) == settings(write(BLOCK, "other.toml"))


def test_a_file_of_an_editor_of_windows(write):
    assert len(settings(write(b"\xef\xbb\xbf" + BLOCK.replace("\n", "\r\n").encode()))) == 1


MIXED = f"""{BLOCK}
{BLOCK.replace("1e-4", "2e-4")}architectures = ["dcgan", "resnet_cifar"]
{BLOCK.replace("1e-4", "3e-4").replace("none", "hinge")}architectures = "dcgan"
"""


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            {},
            {
                ("sndcgan", "none"): [1e-4],
                ("dcgan", "none"): [2e-4],
                ("resnet_cifar", "none"): [2e-4],
                ("dcgan", "hinge"): [3e-4],
            },
        ),
        ({"architecture": "resnet_cifar"}, {("resnet_cifar", "none"): [1e-4, 2e-4]}),
        ({"methods": "hinge"}, {("dcgan", "hinge"): [3e-4]}),
        ({"methods": "hinge", "architecture": "dcgan"}, {("dcgan", "hinge"): [3e-4]}),
        ({"methods": "minimax", "architecture": "dcgan"}, {("dcgan", "minimax"): [1e-4, 2e-4, 3e-4]}),
    ],
)
def test_blocks_on_different_architectures_do_not_mix(write, asked, expected):
    assert lines(write(MIXED), **asked) == expected


def test_an_architecture_that_the_file_does_not_have(write):
    name = write(BLOCK + 'architectures = ["dcgan"]')
    with pytest.raises(InputError, match=r"^--architecture sndcgan: my_space has only dcgan on digits\.$"):
        settings(name, architecture="sndcgan")


def test_an_option_of_the_networks(write):
    name = write(BLOCK.replace('"none"', '"none[ablation=CIN]"'))
    assert lines(name, architecture="resnet_cifar") == {("resnet_cifar", "none[ablation=CIN]"): [1e-4]}
    with pytest.raises(InputError, match="option ablation: only resnet_cifar reads it"):
        settings(name)


def test_seeds_of_a_block(write):
    name = write("seeds = 2\n" + BLOCK + RANDOM + "seeds = 5\n")
    assert [setting.seeds for setting in settings(name)] == [2, 5, 5, 5]
    assert [setting.seeds for setting in settings(name, seeds=1)] == [1, 1, 1, 1]


def test_random_draws_are_those_of_the_studys_blocks(write):
    block = RandomBlock(
        methods=({},),
        ranges={"learning_rate": Range(1e-5, 1e-2, log=True), "beta1": Range(0, 0.9)},
        penalty_weight=Range(0.1, 100, log=True),
        n_dis=(1, 5),
        count=3,
        seed=7,
        fixed={"beta2": 0.999},
    )
    text = RANDOM.replace("none", "l2") + "seed = 7\npenalty_weight = { low = 0.1, high = 100, log = true }\n"
    (l2,) = find(write(text)).methods("sndcgan")
    assert [setting.hyperparameters for setting in settings(write(text))] == list(block.settings(l2))
    plain = [setting.hyperparameters for setting in settings(write(RANDOM + "seed = 7\n"))]
    assert plain == [replace(setting, penalty_weight=None) for setting in block.settings(l2)]
    first = [setting.hyperparameters for setting in settings(write(RANDOM))]
    assert first[0] == Hyperparameters(learning_rate=7.80933e-05, beta1=0.574613, beta2=0.999, n_dis=1)
    longer = settings(write(RANDOM.replace("count = 3", "count = 30")))
    assert [setting.hyperparameters for setting in longer[:3]] == first


def test_a_fixed_weight_of_random_draws(write):
    name = write(RANDOM.replace('"none"', '"none", "l2"') + "penalty_weight = 10\n")
    assert [s.hyperparameters.penalty_weight for s in settings(name)] == [None] * 3 + [10] * 3


def without(text, field):
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(field))


def having(text, line):
    """The text with the line instead of the field's own."""
    return without(text, line.split(" ")[0]) + line + "\n"


TOML_ERRORS = {
    "": "has no settings; a space needs at least one [[blocks]] or [[random]].",
    "seeds = 2": "has no settings",
    "blocks = []": "has no settings",
    "description = 'a'\nbeta1 == 0.5": "is not valid TOML: Invalid value (at line 2, column 8).",
    "a = [\n\n": "is not valid TOML: Invalid value (at the end, line 2).",
    "seeds = 1\nseeds = 2\n": "is not valid TOML: Cannot overwrite a value (at line 2, column 10).",
    "a = " + "[" * 5000: "is not valid TOML: ",
    b"source = '\xff'": "is not valid TOML: 'utf-8' codec can't decode byte 0xff",
    "descripton = 'a'\n"
    + BLOCK: "key descripton: unknown; did you mean description? Known: batch_size, blocks, checkpoint_every,",
    '"a\\nb" = 1\n' + BLOCK: "key a b: unknown. Known: batch_size, blocks,",
    "description = 1\n" + BLOCK: "description 1: must be text in quotes.",
    "source = ['a']\n" + BLOCK: "source ['a']: must be text in quotes.",
    "seeds = 0\n" + BLOCK: "seeds 0: must be a whole number, 1 or more.",
    "seeds = true\n" + BLOCK: "seeds True: must be a whole number, 1 or more.",
    "seeds = 1.5\n" + BLOCK: "seeds 1.5: must be a whole number, 1 or more.",
    "width = 0\n" + BLOCK: "width 0: must be a whole number, 1 or more.",
    "batch_size = '64'\n" + BLOCK: "batch_size '64': must be a whole number, 1 or more.",
    "latent_dim = 12.0\n" + BLOCK: "latent_dim 12.0: must be a whole number, 1 or more.",
    "checkpoint_every = -5\n" + BLOCK: "checkpoint_every -5: must be a whole number, 1 or more.",
    "batch_sice = 64\n" + BLOCK: "key batch_sice: unknown; did you mean batch_size? Known: batch_size,",
    BLOCK + "width = 8\n": "blocks[1]: key width: unknown. Known: architectures,",
    BLOCK.replace("[[blocks]]", "[blocks]"): "blocks: must be written [[blocks]], with double brackets, once",
    RANDOM.replace("[[random]]", "[random]"): "random: must be written [[random]], with double brackets, once",
    "blocks = [1]": "blocks[1] 1: must be a table of methods, architectures, seeds,",
}
BLOCK_ERRORS = {
    "learning_rat = 1": "key learning_rat: unknown; did you mean learning_rate? Known: architectures, beta1,",
    "count = 2": "key count: unknown",
    "seeds = 0": ".seeds 0: must be a whole number, 1 or more.",
    "methods = []": ".methods []: must be a name in quotes or a list of at least one name.",
    "methods = ''": ".methods '': must be a name in quotes or a list of at least one name.",
    "methods = [1]": ".methods [1]: must be a name in quotes or a list of at least one name.",
    "methods = ['none', 'none']": ".methods none: is given twice; leave one of them out.",
    "methods = ['none', 'non_saturating']": ".methods non_saturating: is given twice",
    "methods = ['spectral_norm', 'spectral_norm[power_iterations=1]']": ".methods spectral_norm[power_iterations=1]:",
    "methods = ['spectral_nrm']": ".methods spectral_nrm: unknown; did you mean spectral_norm?",
    "methods = ['l2+dragan']": ".methods l2+dragan: has two penalties; use at most one.",
    "methods = ['spectral_norm+frobenius_norm']": ".methods spectral_norm+frobenius_norm: normalizations",
    "methods = ['none[clip_value=1]']": ".methods none[clip_value=1]: option clip_value: only weight_clipping reads it",
    "methods = ['a\\nb']": ".methods a\\nb: unknown",
    'methods = ["a\\nb"]': ".methods a b: unknown",
    "architectures = []": ".architectures []: must be a name in quotes or a list of at least one name.",
    "architectures = ['sndcgam']": ".architectures sndcgam: unknown; did you mean sndcgan?",
    "architectures = ['dcgan', 'dcgan']": ".architectures dcgan: is given twice; leave one of them out.",
    "learning_rate = []": ".learning_rate []: must be a number or a list of at least one number; ranges are only for",
    "learning_rate = { low = 1, high = 2 }": ".learning_rate {'low': 1, 'high': 2}: must be a number or a list of",
    "learning_rate = 'fast'": ".learning_rate 'fast': must be a finite number above 0.",
    "learning_rate = 0": ".learning_rate 0: must be a finite number above 0.",
    "learning_rate = nan": ".learning_rate nan: must be a finite number above 0.",
    "learning_rate = [1, inf]": ".learning_rate inf: must be a finite number above 0.",
    "learning_rate = 1979-05-27": ".learning_rate datetime.date(1979, 5, 27): must be a finite number above 0.",
    "learning_rate = [[1]]": ".learning_rate [1]: must be a finite number above 0.",
    "beta1 = 1": ".beta1 1: must be a finite number at least 0 and below 1.",
    "beta1 = false": ".beta1 False: must be a finite number at least 0 and below 1.",
    "beta2 = [0.9, -0.1]": ".beta2 -0.1: must be a finite number at least 0 and below 1.",
    "beta2 = [0, 0.0]": ".beta2 0: is given twice; leave one of them out.",
    "n_dis = 0": ".n_dis 0: must be a whole number, 1 or more",
    "n_dis = [1, 2.5]": ".n_dis 2.5: must be a whole number, 1 or more",
    "n_dis = [1, 1]": ".n_dis 1: is given twice; leave one of them out.",
    "penalty_weight = 1": ".penalty_weight: none of the methods has a penalty; add a penalty or leave the weight out.",
    "methods = ['none', 'l2']": ".penalty_weight: is missing; l2 needs one, the study used 1 and 10.",
    "together = [{ beta1 = 0.5 }]": ".beta1: is given twice, here and in together; leave one of them out.",
    "together = []": ".together: must be a list such as [{ beta1 = 0.5",
    "together = { beta1 = 0.5 }": ".together: must be a list such as",
    "together = [1]": ".together[1] 1: must be a table of learning_rate, beta1, beta2, n_dis.",
    "together = [{}]": ".together[1]: must have at least one field, and the same fields as the others.",
    "together = [{ beta3 = 1 }]": ".together[1]: key beta3: unknown; did you mean beta",
    "together = [{ penalty_weight = 1 }]": ".together[1]: key penalty_weight: unknown",
}
TOGETHER_ERRORS = {
    "[{ beta1 = 0.5 }, { beta2 = 0.5 }]": ".together[2]: must have at least one field, and the same fields as the",
    "[{ beta1 = 0.5 }, { beta1 = 1 }]": ".together[2].beta1 1: must be a finite number at least 0 and below 1.",
    "[{ beta1 = 0.5 }, { beta1 = [0.5] }]": ".together[2].beta1 [0.5]: must be a finite number at least 0",
    "[{ beta1 = 0.5 }, { beta1 = 0.50 }]": ".together beta1 = 0.5: is given twice; leave one of them out.",
}
RANDOM_ERRORS = {
    "together = []": "key together: unknown",
    "count = 0": ".count 0: must be a whole number, 1 or more.",
    "count = 2.0": ".count 2.0: must be a whole number, 1 or more.",
    "seed = -1": ".seed -1: must be a whole number, 0 or more.",
    "seeds = 'a'": ".seeds 'a': must be a whole number, 1 or more.",
    "methods = ['l2']": ".penalty_weight: is missing; l2 needs one, the study used 1 and 10.",
    "penalty_weight = { low = 1, high = 2 }": ".penalty_weight: none of the methods has a penalty",
    "beta2 = [0.9, 0.999]": ".beta2 [0.9, 0.999]: must be one number or a range such as { low = 1e-5,",
    "beta2 = 'x'": ".beta2 'x': must be a finite number at least 0 and below 1.",
    "n_dis = []": ".n_dis []: must be a number or a list of at least one",
    "n_dis = { low = 1, high = 5 }": ".n_dis {'low': 1, 'high': 5}: must be a number or a list of at least one",
    "n_dis = [1, 1]": ".n_dis 1: is given twice; leave one of them out.",
    "beta1 = { low = 0 }": ".beta1: a range needs low and high, such as { low = 1e-5, high = 1e-2, log = true }.",
    "beta1 = { low = 0, hihg = 0.9 }": ".beta1: key hihg: unknown; did you mean high? Known: high, log, low.",
    "beta1 = { low = 0.9, high = 0 }": ".beta1: range from 0.9 to 0: low must be below high, and both finite.",
    "beta1 = { low = 0, high = 0.9, log = true }": ".beta1: range from 0 to 0.9: a logarithmic range must",
    "beta1 = { low = 0, high = 0.9, log = 1 }": ".beta1.log 1: must be true or false.",
    "beta1 = { low = 0, high = 1 }": ".beta1 1: must be a finite number at least 0 and below 1.",
    "beta1 = { low = 0, high = 0.99999999 }": ".beta1 1.0: must be a finite number at least 0 and below 1.",
    "beta1 = { low = true, high = 0.9 }": ".beta1 True: must be a finite number at least 0 and below 1.",
    "beta1 = { low = 'a', high = 0.9 }": ".beta1 'a': must be a finite number at least 0 and below 1.",
    "learning_rate = { low = 0, high = 1 }": ".learning_rate 0: must be a finite number above 0.",
    "learning_rate = { low = nan, high = 1 }": ".learning_rate nan: must be a finite number above 0.",
    "learning_rate = { low = 1e-300, high = 1e300, log = true }": ".learning_rate inf: must be a finite number",
}


def toml_errors():
    """(the file's text, how what is said of it starts)."""
    numbers = ("learning_rate", "beta1", "beta2", "n_dis")
    yield from TOML_ERRORS.items()
    for heading, table, broken in (("blocks", BLOCK, BLOCK_ERRORS), ("random", RANDOM, RANDOM_ERRORS)):
        for line, message in broken.items():
            text = table + having(table, line)  # the second is the one with the error
            yield text, f"{heading}[2]{message if message.startswith('.') else ': ' + message}"
        yield without(table, "methods"), f"{heading}[1].methods: is missing; give a list such as"
        for field in numbers:
            yield without(table, field), f"{heading}[1].{field}: is missing; every block needs"
    for rows, message in TOGETHER_ERRORS.items():
        yield without(BLOCK, "beta1") + f"together = {rows}\n", f"blocks[1]{message}"
    yield without(RANDOM, "count"), "random[1].count: is missing; give the number of random settings of each method."
    drawn = having(having(RANDOM, "beta1 = 0"), "learning_rate = 1")
    yield drawn, "random[1]: has no range; give at least one, such as"


def check_error(answer, start):
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(start), answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(("text", "message"), list(toml_errors()))
def test_errors_of_a_toml_file(write, text, message):
    name = write(text)
    with pytest.raises(InputError) as caught:
        find(name)
    assert str(caught.value).startswith(f"./my_space.toml: {message}")
    assert "\n" not in str(caught.value)


def test_the_tables_that_the_errors_start_from_have_none(write):
    assert len(settings(write(BLOCK + RANDOM))) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.toml", "none.toml: no such file."),
        ("./none.py", "./none.py: no such file."),
        ("folder.toml", "folder.toml: no such file."),
        (
            "./my_space",
            "./my_space: your own space must be a file that ends in .toml or .py; for the spaces of the study,",
        ),
        ("./my_space.yaml", "./my_space.yaml: your own space must be a file that ends in"),
        ("./.toml", "./.toml: your own space must be a file that ends in"),
        ("a" * 300 + ".toml", "a" * 300 + ".toml: cannot be read (File name too long); choose another file."),
        ("./grid.toml", "./grid.toml: the name grid is used by the study itself; rename the file."),
        ("./train.toml", "./train.toml: the name train is used by the study itself; rename the file."),
    ],
)
def test_names_that_cannot_be_used(write, study, name, message):
    Path("folder.toml").mkdir()
    for taken in ("my_space.yaml", "my_space", "grid.toml", "train.toml"):
        write(BLOCK, taken)
    for command in ("plan", "run", "spaces"):
        check_error(study(command, name, "--data-dir", "data"), message)
    assert not Path("results").exists()


def test_what_a_python_file_says(write, tmp_path):
    path = list(sys.path)
    name = write(PYTHON, "mine.py")
    assert [(s.method.name, s.seeds) for s in settings(name)] == [("none", 2), ("hinge", 2)]
    assert "mine" not in {Path(module).stem for module in sys.modules}
    assert sys.path == path
    assert [file.name for file in tmp_path.iterdir()] == ["mine.py"]
    write(PYTHON.replace("seeds=2", "seeds=3"), "mine.py")
    assert {s.seeds for s in settings(name)} == {3}


def test_a_python_file_may_define_what_it_likes(write):
    head = "from __future__ import annotations\nimport dataclasses\n"
    own = "@dataclasses.dataclass\nclass Seeds:\n    number: int = 3\n\nSPACE = "
    text = head + PYTHON.replace("SPACE = ", own).replace("seeds=2", "seeds=Seeds().number")
    assert {s.seeds for s in settings(write(text, "mine.py"))} == {3}


def test_a_python_file_may_have_all_that_the_studys_own_have(write):
    for name in search_spaces.spaces():
        text = (
            f'import dataclasses, search_spaces\nSPACE = dataclasses.replace(search_spaces.get("{name}"), name="mine")'
        )
        assert replace(find(write(text, "mine.py")), name=name, version=None) == search_spaces.get(name)


PYTHON_ERRORS = [
    ("x = (\n", "", "line 1: '(' was never closed."),
    ("x = 1\nx = = 2\n", "", "line 2: invalid syntax."),
    ("x = '\0'", "", "source code string cannot contain null bytes"),
    (
        "SPACE = SearchSpace(",
        "SPACE = SearchSpace(nmae='a', ",
        "line 7: TypeError: SearchSpace.__init__() got an unexpected",
    ),
    ("axes=AXES", "axis=AXES", "line 6: TypeError: Block.__init__() got an unexpected keyword argument 'axis'"),
    ("AXES = ", "AXES = 1 / 0 or ", "line 5: ZeroDivisionError: division by zero"),
    ("AXES = ", "Range(2, 1)\nAXES = ", "line 5: range from 2 to 1: low must be below high"),
    ("AXES = ", "raise ValueError('two\\nlines')\nAXES = ", "line 5: ValueError: two lines"),
    ("AXES = ", "import sys; sys.exit(0)\nAXES = ", "line 5: SystemExit: 0"),
    ("AXES = ", "def f():\n    return nothing\nf()\nAXES = ", "line 6: NameError: name 'nothing' is not defined"),
    ("AXES = ", "import no_such_module\nAXES = ", "line 5: ModuleNotFoundError: No module named 'no_such_module'"),
    ("SPACE = ", "SPACES = ", "does not define SPACE; must have a line SPACE = SearchSpace(...)."),
    ("SPACE = SearchSpace(", "SPACE = dict(", "SPACE is of type dict; must be a search_spaces.SearchSpace."),
    ('name="mine"', 'name=""', "SPACE.name '': must be a name."),
    ('name="mine"', "name=None", "SPACE.name None: must be a name."),
    ('name="mine"', 'name="grid"', "the name grid is used by the study itself; choose another for SPACE.name."),
    ("seeds=2", "seeds=0", "SPACE.seeds 0: must be a whole number, 1 or more."),
    ("seeds=2", "seeds=2, top='a'", "SPACE.top 'a': must be a whole number, 1 or more."),
    ("seeds=2", "seeds=2, width=0", "SPACE.width 0: must be a whole number, 1 or more."),
    ("seeds=2", "seeds=2, batch_size=2.5", "SPACE.batch_size 2.5: must be a whole number, 1 or more."),
    ("seeds=2", "seeds=2, latent_dim='a'", "SPACE.latent_dim 'a': must be a whole number, 1 or more."),
    ("seeds=2", "seeds=2, checkpoint_every=True", "SPACE.checkpoint_every True: must be a whole number, 1 or more."),
    ("seeds=2", "seeds=2, extra_steps=-1", "SPACE.extra_steps -1: must be a whole number, 0 or more."),
    (
        "blocks=(BLOCK,)",
        "blocks=(BLOCK)",
        "SPACE.blocks is of type Block; must be a tuple, which needs a comma even for one",
    ),
    ("blocks=(BLOCK,)", "blocks=()", "SPACE.blocks: is empty; a space needs at least one block."),
    (
        "blocks=(BLOCK,)",
        "blocks=(BLOCK, 'a')",
        "SPACE.blocks[2] is of type str; must be a Block, RandomBlock or Entry.",
    ),
    ("axes=AXES", "axes=AXES, seeds=0", "SPACE.blocks[1]: seeds 0: must be a whole number, 1 or more."),
    ("axes=AXES", "axes=AXES, architectures=('dcgan',)", "SPACE.blocks[1]: architectures: resolution 'dcgan': must be"),
    (
        "axes=AXES",
        "axes=AXES, architectures={0: ('dcgam',)}",
        "SPACE.blocks[1]: --architecture dcgam: unknown; did you",
    ),
    ("methods=({}, ", "methods=() and (", "SPACE.blocks[1]: methods (): must be a tuple of at least one method"),
    ("methods=({}, ", "methods=('none', ", "SPACE.blocks[1]: methods: 'none' is not a mapping with fields of Method"),
    ('"loss": "hinge"', '"loss": "hing"', "SPACE.blocks[1]: --loss hing: unknown; did you mean hinge?"),
    ('"loss": "hinge"', '"los": "hinge"', "SPACE.blocks[1]: TypeError: Method.__init__() got an unexpected keyword"),
    ('"loss": "hinge"', '"penalty": "l2"', "SPACE.blocks[1]: has no setting for l2; a penalty needs penalty_weights."),
    ("0.5, 0.9, 1", "1, 0.9, 1", "SPACE.blocks[1]: beta1 1: must be a finite number at least 0 and below 1."),
    ("0.5, 0.9, 1", "0.5, 0.9", "SPACE.blocks[1]: ValueError: zip() argument 2 is shorter than argument 1"),
    (
        ', "n_dis"): ((1e-4, 0.5, 0.9, 1)',
        "): ((1e-4, 0.5, 0.9)",
        "SPACE.blocks[1]: TypeError: Hyperparameters.__init__",
    ),
    (
        "BLOCK,)",
        "RandomBlock(methods=({},), ranges={'beta1': Range(0, 2)}, fixed={'learning_rate': 1, 'beta2': 0}, n_dis=(1,),"
        " count=99),)",
        "SPACE.blocks[1]: beta1 1.",
    ),
    (
        "BLOCK,)",
        "Entry(dataset='digits', method={'architecture': 'dcgan', 'penalty': 'l2'}, values={'learning_rate': 1,"
        " 'beta1': 0, 'beta2': 0, 'n_dis': 1}),)",
        "SPACE.blocks[1]: penalty_weight: l2 needs a weight",
    ),
    (
        "BLOCK,)",
        "Entry(dataset='digits', method={'architecture': 'dcgan'}, values={}, published=[1.0]),)",
        "SPACE.blocks[1]: published [1.0]: must be a tuple of numbers.",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), PYTHON_ERRORS, ids=[message for *_, message in PYTHON_ERRORS])
def test_errors_of_a_python_file(write, study, old, new, message):
    """`old` gives way to `new` in a file that is good; or it is the file."""
    assert not new or PYTHON.count(old) == 1
    name = write(PYTHON.replace(old, new) if new else old, "mine.py")
    check_error(study("plan", name, "--results", "results", "--data-dir", "data"), f"./mine.py: {message}")
    assert not Path("results").exists()


def test_study_plan_and_spaces(write, study):
    name = write(BLOCK.replace("1e-4", "[1e-4, 2e-4]") + 'seeds = 2\narchitectures = ["sndcgan", "resnet_cifar"]\n')
    answer = study("plan", name, "--results", "results", "--data-dir", "data")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split()[:7] for line in answer.out.splitlines()]
    assert ["my_space", "digits", "none", "on", "resnet_cifar", "4", "4"] in rows
    assert ["all", "8", "8"] in [row[:3] for row in rows]
    answer = study("spaces", name, "--data-dir", "data")
    assert (answer.code, answer.err) == (0, "")
    first, _, _, *rows = answer.out.splitlines()
    assert first == "my_space on digits: 4 settings, 8 trials; my_space.toml"
    assert rows[1].split() == ["sndcgan", "none", "0.0001", "0.5", "0.9", "1", "-", "2"]
    assert len(rows) == 5
    assert "my_space" not in study("spaces", "--dataset", "digits", "--data-dir", "data").out
    check_error(
        study("spaces", write("seeds = 0\n" + BLOCK), "--data-dir", "data"), "./my_space.toml: seeds 0: must be"
    )


SAME = {
    "numbers": (BLOCK.replace("0.5", "0.50").replace("1e-4", "0.0001"), "my_space.toml"),
    "a comment": (f"# mine\n{BLOCK}", "my_space.toml"),
    "another name": (BLOCK, "other.toml"),
    "a description": (f'description = "mine"\n{BLOCK}', "my_space.toml"),
}


@pytest.mark.parametrize("how", SAME)
def test_the_content_alone_is_the_version_of_a_space(write, how):
    before = find(write(BLOCK))
    after = find(write(*SAME[how]))
    assert after.version == before.version and len(before.version) == 8
    assert after.recorded_name == f"{after.name}@{before.version}"


CHANGED = {
    "a setting more": BLOCK.replace("1e-4", "[1e-4, 2e-4]"),
    "a value": BLOCK.replace("n_dis = 1", "n_dis = 5"),
    "seeds": f"seeds = 7\n{BLOCK}",
    "sizes": f"width = 16\n{BLOCK}",
    "another method": BLOCK.replace("none", "l2").replace("n_dis = 1", "n_dis = 1\npenalty_weight = 1"),
    "random": RANDOM,
    "other draws": RANDOM.replace("high = 0.9", "high = 0.8"),
}


def test_every_other_content_is_another_version(write):
    versions = [find(write(text)).version for text in (BLOCK, *CHANGED.values())]
    versions += [find(write(PYTHON.replace("seeds=2", f"seeds={seeds}"), "mine.py")).version for seeds in (2, 3)]
    assert len(set(versions)) == len(versions)
    assert all(space.version is None and space.recorded_name == name for name, space in search_spaces.spaces().items())


def test_a_python_file_that_chooses_has_a_version(write):
    text = """from search_spaces import SearchSpace
def choose(rows):
    return ()
SPACE = SearchSpace(name="mine", description="", source="", seeds=2, choose=choose)
"""
    one, other = find(write(text, "mine.py")), find(write(text.replace("()\nS", "(1,)\nS"), "mine.py"))
    assert one.version != other.version


def test_the_sign_of_versions_is_not_allowed_in_a_name(write):
    with pytest.raises(InputError, match=r"the name a@b contains @; rename the file\.$"):
        find(write(BLOCK, "a@b.toml"))


def test_a_loss_that_only_this_process_would_know_is_refused(write):
    text = """from dataclasses import replace
from study.gan.methods.losses import LOSSES
LOSSES["mine"] = LOSSES["hinge"]
"""
    message = r"^\./mine\.py: adds the loss mine in this process, but workers import their own menus; write it in "
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            find(write(text + PYTHON.replace('"hinge"', '"mine"'), "mine.py"))
    assert "mine" not in LOSSES and "hinge" in LOSSES


@pytest.mark.full
def test_two_files_of_one_name_are_two_spaces(write, study):
    """The later one is what the name stands for; a setting that was removed is not in its tables."""
    from study.storage.tables import read_table

    both = BLOCK.replace("1e-4", "[1e-4, 2e-4]")
    run = ("--discriminator-steps", 2, "--results", "results", "--data-dir", "data", "--seeds", 1)
    first = study("run", write(both), *run)
    assert (first.code, "another space" in first.out) == (0, False), first.err
    names = [find("./my_space.toml").recorded_name]
    second = study("run", write(BLOCK), *run)
    names.append(find("./my_space.toml").recorded_name)
    assert second.code == 0, second.err
    assert f"results: has trials of {names[0]}, another space called my_space; this one is {names[1]}." in second.out
    recorded = [row["space"] for row in read_table(Path("results"), "memberships").to_pylist()]
    assert recorded == [names[0], names[0], names[1]]
    shown = {name: study("table", "ranking", "--space", name, "--results", "results") for name in ("my_space", *names)}
    assert {name: answer.code for name, answer in shown.items()} == dict.fromkeys(shown, 0)
    assert shown["my_space"].out == shown[names[1]].out != shown[names[0]].out
    assert (
        shown["my_space"].err.strip() == f"--space my_space: a space of this name was recorded later than {names[0]}."
    )
    assert not shown[names[0]].err


@pytest.mark.slow
def test_trials_are_recorded_under_the_files_name(write, study):
    from study.storage.tables import read_table

    answer = study("run", write(BLOCK), "--discriminator-steps", 2, "--results", "results", "--data-dir", "data")
    assert answer.code == 0, answer.err
    assert [row["space"] for row in read_table(Path("results"), "memberships").to_pylist()] == [
        find("./my_space.toml").recorded_name
    ]


def example(language, marker):
    """The block of a language in the README of the search spaces that contains a text."""
    text = (ROOT / "search_spaces" / "README.md").read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    (found,) = [block for block in blocks if marker in block]
    return found


def test_the_readmes_toml_space(write):
    found = settings(write(example("toml", "[[blocks]]")))
    per_method = {}
    for setting in found:
        key = (setting.method.name, setting.method.architecture, setting.seeds)
        per_method[key] = per_method.get(key, 0) + 1
    assert per_method == {
        ("spectral_norm", "sndcgan", 3): 8,
        ("hinge+spectral_norm+gradient_penalty", "sndcgan", 3): 16,
        ("none", "sndcgan", 5): 2,
        ("none", "resnet_cifar", 5): 2,
        ("dragan", "sndcgan", 3): 24,
    }


def test_the_readmes_python_space(write):
    found = settings(write(example("python", "SPACE = "), "rates.py"))
    assert [s.hyperparameters.learning_rate for s in found] == [10**-exponent for exponent in (3, 3.5, 4, 4.5, 5)]
    assert {s.method.name for s in found} == {"spectral_norm"}
