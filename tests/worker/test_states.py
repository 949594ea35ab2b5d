"""Full training states: what goes on from one is what never stopped, to the bit; unusable files are refused."""

import dataclasses
import pickle

import pytest
import torch
from torch.utils import _pytree as pytree

from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.gan.model import build, empty_state, initial_state
from study.gan.program import programs
from study.training.draws import stream
from study.training.loop import train
from study.worker.checkpoint import load_state, save_state
from study.worker.snapshot import Snapshot
from tests.conftest import quick_only

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE, CONDITIONS = (1, 8), {"protocol_id": "p", "checkpoint_every": 3, "metrics": ["is"]}
METHODS = {
    "none": {},
    "gradient_penalty": {"penalty": "gradient_penalty"},
    "spectral_norm+gradient_penalty": {"normalizations": ("spectral_norm",), "penalty": "gradient_penalty"},
    "layer_norm": {"normalizations": ("layer_norm",)},
    "batch_norm": {"normalizations": ("batch_norm",)},
    "began": {"loss": "began"},
    "resnet": {"architecture": "resnet_cifar", "normalizations": ("spectral_norm",)},
}

QUICK = ("spectral_norm+gradient_penalty",)
"""The other kinds of state, statistics of batches and that of a loss, are resumed in `test_resume`."""


def make(steps, seed=0, *, n_dis=2, **method):
    method = Method(**{"architecture": "sndcgan", **method})
    weight = 1 if method.penalty else None
    return Trial(
        dataset="digits",
        method=method,
        hyperparameters=Hyperparameters(learning_rate=1e-2, beta1=0.5, beta2=0.9, n_dis=n_dis, penalty_weight=weight),
        training=Training(discriminator_steps=steps, width=2, batch_size=8, latent_dim=4),
        seed=seed,
    )


def run(trial, digits, scorer, start=None):
    return list(train(trial, digits, scorer, checkpoint_every=3, start=start))


def snapshot(trial, checkpoints):
    so_far = Snapshot(trial, CONDITIONS)
    for checkpoint in checkpoints:
        so_far = so_far.after(checkpoint)
    return so_far


def save(path, trial, checkpoints):
    save_state(path, snapshot(trial, checkpoints), SHAPE)


def of(evaluation, trial):
    return dataclasses.replace(evaluation, trial_id=trial.id)


@pytest.mark.parametrize("method", quick_only(METHODS, QUICK))
def test_what_goes_on_from_a_file_is_what_never_stopped(digits, scorer, tmp_path, method):
    """Three updates and four more: G's turns, the order of images and the last, odd checkpoint all go on."""
    short, long = make(3, **METHODS[method]), make(7, **METHODS[method])
    whole = run(long, digits, scorer)
    first = run(short, digits, scorer)
    save(tmp_path / "state.pt", short, first)
    programs.cache_clear()  # a worker that goes on has never seen a first step
    kept = load_state(tmp_path / "state.pt")
    assert kept.trial == short
    rest = run(long, digits, scorer, start=kept.position)
    assert [c.evaluation.discriminator_step for c in rest] == [6, 7]
    assert [of(e, long) for e in kept.evaluations] + [c.evaluation for c in rest] == [c.evaluation for c in whole]
    torch.testing.assert_close(rest[-1].state, whole[-1].state, rtol=0, atol=0, check_stride=True)
    assert len({c.evaluation.discriminator_loss for c in whole}) == 3


def test_seconds_go_on(digits, scorer):
    (first,) = run(make(3), digits, scorer)
    start = first.position._replace(training_seconds=1000.0, scoring_seconds=2000.0)
    one, two = run(make(7), digits, scorer, start=start)
    assert 1000 < one.training_seconds < two.training_seconds < 1100
    assert 2000 < one.scoring_seconds < two.scoring_seconds < 2100


@pytest.mark.parametrize("method", quick_only(METHODS, QUICK))
def test_every_tensor_comes_back_in_its_layout(digits, scorer, tmp_path, method):
    trial = make(3, **METHODS[method])
    (last,) = run(trial, digits, scorer)
    save(tmp_path / "state.pt", trial, [last])
    kept = load_state(tmp_path / "state.pt")
    torch.testing.assert_close(kept.position.state, last.state, rtol=0, atol=0, check_stride=True)
    assert kept.evaluations == (last.evaluation,)
    assert (kept.position.step, *kept.position[3:]) == (3, last.training_seconds, last.scoring_seconds)
    assert kept.conditions == CONDITIONS
    kernels = [p for p in kept.position.state.discriminator.values() if p.dim() == 4 and p.shape[1] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_state_is_an_initial_one_without_values(method):
    gan = build(make(1, **METHODS[method]), *SHAPE)
    empty, real = (pytree.tree_flatten(s) for s in (empty_state(gan), initial_state(gan, stream(0, "initial", 0))))
    assert empty[1] == real[1]
    assert [(t.shape, t.dtype) for t in empty[0]] == [(t.shape, t.dtype) for t in real[0]]
    assert all(t.is_meta for t in empty[0])


@pytest.fixture
def kept(digits, scorer, tmp_path):
    """A state of spectral norm and gradient penalty."""
    trial = make(3, **METHODS["spectral_norm+gradient_penalty"])
    path = tmp_path / "states" / "state.pt"
    save(path, trial, run(trial, digits, scorer))
    return path


def test_the_file_holds_plain_data_only_and_nothing_is_left_beside_it(kept):
    content = torch.load(kept, weights_only=True)
    assert content["trial"] == make(3, **METHODS["spectral_norm+gradient_penalty"]).to_dict()
    assert float(content["position"]["state"]["discriminator_adam"]["updates"]) == 3
    assert float(content["position"]["state"]["generator_adam"]["updates"]) == 2
    assert len(content["position"]["state"]["vectors"]) > 0
    assert list(kept.parent.iterdir()) == [kept]


def test_a_failed_save_keeps_the_old_file(kept, digits, scorer, monkeypatch):
    before = kept.read_bytes()
    trial = make(3, seed=1, **METHODS["spectral_norm+gradient_penalty"])
    checkpoints = run(trial, digits, scorer)

    def killed(content, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        save(kept, trial, checkpoints)
    monkeypatch.undo()
    assert kept.read_bytes() == before
    assert list(kept.parent.iterdir()) == [kept]
    save(kept, trial, checkpoints)
    assert load_state(kept).trial == trial


@pytest.mark.parametrize("peek", [False, True])
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(kept, fraction, peek):
    content = kept.read_bytes()
    kept.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InputError, match=r"state\.pt: not a readable state \(.+\); train the trial again\.$") as error:
        load_state(kept, peek=peek)
    assert "\n" not in str(error.value)


def test_a_single_wrong_byte_of_a_tensor_is_noticed(kept):
    content = bytearray(kept.read_bytes())
    tensor = load_state(kept).position.state.discriminator_adam.first.numpy().tobytes()
    place = bytes(content).find(tensor)
    assert place > 0
    content[place + len(tensor) // 2] ^= 1
    kept.write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable state \(wrong checksum of .*data/\d+\)"):
        load_state(kept)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.pt: not a readable state \(.*No such file"):
        load_state(tmp_path / "absent.pt")


class Malicious:
    """Runs code when a plain pickle of it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_malicious_content_is_refused_unread(tmp_path):
    path, witness = tmp_path / "state.pt", tmp_path / "ran"
    for write in (lambda: torch.save({"trial": Malicious(witness)}, path), lambda: path.write_bytes(pickled(witness))):
        write()
        with pytest.raises(InputError, match="not a readable state"):
            load_state(path)
        assert not witness.exists()


def pickled(witness):
    return pickle.dumps(Malicious(witness), protocol=2)


def adam_of_d(content):
    return content["position"]["state"]["discriminator_adam"]


def best_of(content):
    state = content["position"]["state"]
    return {"parameters": state["generator"], "buffers": state["generator_buffers"]}


CHANGES = {
    "no trial": lambda content: content.pop("trial"),
    "another trial": lambda content: content["trial"].update(seed=7),
    "unknown method": lambda content: content["trial"]["method"].update(penalty="unheard_of"),
    "another size": lambda content: content.update(shape=[1, 16]),
    "no vectors": lambda content: content["position"]["state"].update(vectors={}),
    "no part": lambda content: content["position"]["state"].pop("loss"),
    "one part more": lambda content: content["position"]["state"].update(more={}),
    "a parameter less": lambda content: content["position"]["state"]["discriminator"].popitem(),
    "another order": lambda content: content["position"]["state"].update(
        generator=dict(reversed(content["position"]["state"]["generator"].items()))
    ),
    "a wrong name": lambda content: content["position"]["state"].update(
        discriminator={f"{name}s": tensor for name, tensor in content["position"]["state"]["discriminator"].items()}
    ),
    "a wrong shape": lambda content: adam_of_d(content).update(first=torch.zeros(3)),
    "a wrong type": lambda content: adam_of_d(content).update(updates=torch.tensor(3.0)),
    "no evaluation": lambda content: content.update(evaluations=[]),
    "an evaluation more": lambda content: content["evaluations"].append(content["evaluations"][0]),
    "another step": lambda content: content["position"].update(step=2),
    "other semantics": lambda content: content.update(trial_id="0" * 16),
    "another best generator": lambda content: content.update(best={**best_of(content), "step": 2}),
    "no tally": lambda content: content["position"].pop("tally"),
    "a wrong tally": lambda content: content["position"]["tally"].update(sums=torch.zeros(2)),
    "a tally that diverged": lambda content: content["position"]["tally"].update(diverged_at=torch.tensor(2.0)),
    "no score": lambda content: content["evaluations"][0].update(frechet_distance=None),
    "a word for a score": lambda content: content["evaluations"][0].update(frechet_distance="low"),
    "no conditions": lambda content: content.update(conditions=None),
    "no seconds": lambda content: content["position"].update(training_seconds=None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_of_other_content_is_refused(kept, change):
    content = torch.load(kept, weights_only=True)
    CHANGES[change](content)
    torch.save(content, kept)
    with pytest.raises(InputError, match=r"state\.pt: not a readable state"):
        load_state(kept)
