"""Kept generators: the same images after a round trip, and files that cannot be used are refused."""

import pickle

import pytest
import torch

from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.gan.model import build, initial_state
from study.worker.checkpoint import load_generator, save_generator
from study.worker.snapshot import KeptGenerator


@pytest.fixture
def trial():
    return Trial(
        dataset="digits",
        method=Method(architecture="sndcgan", normalizations=("spectral_norm",), penalty="gradient_penalty"),
        hyperparameters=Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=1, penalty_weight=10),
        training=Training(discriminator_steps=5, width=2, latent_dim=4),
        seed=3,
    )


@pytest.fixture
def trained(trial):
    """(gan, state) whose averages are not at their defaults."""
    gan = build(trial, 1, 8)
    state = initial_state(gan, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(1)
    loud = {name: p + torch.randn(p.shape, generator=rng) for name, p in state.generator.items()}
    _, buffers = gan.generate(loud, state.generator_buffers, torch.rand(16, 4, generator=rng))
    return gan, state._replace(generator=loud, generator_buffers=buffers)


@pytest.fixture
def kept(trial, trained, tmp_path):
    path = tmp_path / "states" / "generator.pt"
    save_generator(path, at(5, trial, trained), (1, 8))
    return path


def at(step, trial, trained):
    gan, state = trained
    return KeptGenerator(trial, step, gan, state.generator, state.generator_buffers)


def test_a_kept_generator_makes_the_same_images(kept, trial, trained):
    gan, state = trained
    latents = torch.rand(7, 4, generator=torch.Generator().manual_seed(2)) * 2 - 1
    generator = load_generator(kept)
    assert (generator.trial, generator.step) == (trial, 5)
    assert generator.trial.id == trial.id
    images = generator(latents)
    assert torch.equal(images, gan.sample(state.generator, state.generator_buffers, latents))
    assert not torch.allclose(images, gan.generate(state.generator, state.generator_buffers, latents)[0], atol=1e-3)
    assert not images.requires_grad


def test_the_file_holds_plain_data_only_and_nothing_is_left_beside_it(kept, trial):
    content = torch.load(kept, weights_only=True)
    assert content["trial"] == trial.to_dict()
    assert (content["step"], content["shape"]) == (5, [1, 8])
    assert list(kept.parent.iterdir()) == [kept]


def test_saving_again_replaces_and_a_failed_save_keeps_the_old_one(kept, trial, trained, monkeypatch):
    save_generator(kept, at(9, trial, trained), (1, 8))
    assert load_generator(kept).step == 9

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_generator(kept, at(10, trial, trained), (1, 8))
    monkeypatch.undo()
    assert load_generator(kept).step == 9
    assert list(kept.parent.iterdir()) == [kept]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.pt: no such file; a generator is kept when"):
        load_generator(tmp_path / "absent.pt")


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(kept, fraction):
    content = kept.read_bytes()
    kept.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(
        InputError, match=r"generator\.pt: not a readable generator \(.+\); train the trial again"
    ) as error:
        load_generator(kept)
    assert "\n" not in str(error.value)


def test_a_single_wrong_byte_is_noticed(kept, trained):
    content, tensor = bytearray(kept.read_bytes()), next(iter(trained[1].generator.values())).numpy().tobytes()
    place = bytes(content).find(tensor)
    assert place > 0
    content[place] ^= 1
    kept.write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable generator \(wrong checksum of .*data/\d+\)"):
        load_generator(kept)


class Malicious:
    """Runs code when a plain pickle of it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_malicious_pickle_is_refused_unread(tmp_path, protocol):
    path, witness = tmp_path / "generator.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Malicious(witness), protocol=protocol))
    with pytest.raises(InputError, match="not a readable generator"):
        load_generator(path)
    assert not witness.exists()
    pickle.loads(path.read_bytes()).close()  # it would have
    assert witness.exists()


def test_malicious_content_of_a_torch_file_is_refused_unread(tmp_path):
    path, witness = tmp_path / "generator.pt", tmp_path / "ran"
    torch.save({"trial": Malicious(witness)}, path)
    with pytest.raises(InputError, match="not a readable generator"):
        load_generator(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "junk", [b"", b"\x00" * 100, b"hello\n", b"PK\x03\x04junk", b"\x80\x02.", b".", b"]q\x00(", bytes(range(256))]
)
def test_junk_is_refused(tmp_path, junk):
    path = tmp_path / "generator.pt"
    path.write_bytes(junk)
    with pytest.raises(InputError, match="not a readable generator"):
        load_generator(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("trial"),
        lambda content: content.pop("buffers"),
        lambda content: content.update(shape=[1]),
        lambda content: content.update(trial=5),
        lambda content: content["trial"].update(unheard_of=1),
        lambda content: content["trial"]["method"].update(penalty="unheard_of"),
        lambda content: content["parameters"].popitem(),
        lambda content: content["parameters"].update({"project.0.weight": torch.zeros(2, 2)}),
    ],
    ids=[
        "no-trial",
        "no-buffers",
        "shape",
        "trial-type",
        "unknown-field",
        "unknown-name",
        "no-parameter",
        "wrong-size",
    ],
)
def test_a_file_of_other_content_is_refused_by_its_name(kept, change):
    content = torch.load(kept, weights_only=True)
    change(content)
    torch.save(content, kept)
    with pytest.raises(InputError, match=r"generator\.pt"):
        load_generator(kept)


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("content", [[], {}, 5, None, "text", torch.zeros(3)])
def test_a_torch_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "generator.pt"
    torch.save(content, path)
    with pytest.raises(InputError, match=r"generator\.pt"):
        load_generator(path)
