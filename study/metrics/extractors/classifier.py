r"""The extractor `classifier`: a small convolutional network trained on the training split of a labelled dataset.

Its features suit images that Inception was not trained for. The weights for `digits` are part of the package; they were
made by

    python -m study.metrics.extractors.classifier --dataset digits \
        --output study/metrics/extractors/weights/classifier-digits.npz

so that scores from different machines have the same protocol. For other datasets the network is trained once, at its
first use, and stored in the data folder.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from study import data
from study.core.errors import InputError
from study.core.output import show, show_error
from study.metrics.extractors.extractor import Extractor
from study.metrics.npz import file_sha256, read_npz, write_npz

NAME = "classifier"
WEIGHTS = Path(__file__).parent / "weights"
DIMENSION = 32
"""Small compared with the 600 test images of `digits`: the bias of the Frechet distance grows with d^2 / n."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the network is trained: AdamW, one learning-rate cycle, images shifted by up to an eighth of their size.

    Attributes:
        steps, epochs: minimum numbers of updates and of epochs.
        batch_size: images per update.
        learning_rate: maximum of the cycle.
        weight_decay, label_smoothing: regularization that keeps the scale of the features finite.
        seed: of the initial weights, the order of the images and the shifts.
    """

    steps: int = 1200
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A trained network and its metadata.

    Attributes:
        network: images [N, C, H, W] in [0, 1] -> class logits [N, classes]; its last layer is linear.
        about: dataset and its sha256, shape (C, H, W), classes, recipe, accuracy on the test split, torch version.
    """

    network: nn.Sequential
    about: dict

    @property
    def features(self) -> nn.Sequential:
        """The network without its last layer: images [N, C, H, W] -> features [N, DIMENSION]."""
        return nn.Sequential(*list(self.network)[:-1])

    def save(self, path: Path) -> None:
        """Write an .npz file, unless it exists. Raises InputError if it cannot be written."""
        state = {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        write_npz(path, {**state, "about": np.array(json.dumps(self.about))}, keep_existing=True)

    @classmethod
    def open(cls, path: Path) -> "Classifier":
        """The classifier that `save` wrote, on the CPU; raises InputError if the file contains none."""
        try:
            arrays = read_npz(path)
            about = json.loads(str(arrays.pop("about")))
            network = build(tuple(about["shape"]), about["classes"])
            network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            remedy = "give a file written by python -m study.metrics.extractors.classifier, or leave the option out"
            raise InputError(f"--extractor-weights {path}: not a classifier ({reason}); {remedy}.") from error
        return cls(network=network.eval().requires_grad_(False), about=about)


def build(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Convolutions of stride 2 down to 4x4 px or less, and one hidden layer, whose DIMENSION outputs are the features.

    The hidden layer reads the flattened map instead of its mean, so that features contain the position of strokes. They
    separate blurred, noisy and unbalanced sets of digits from real ones better than pooled features of equal accuracy.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    hidden, stride = 16, 1
    while stride == 1 or max(height, width) > 4:
        layers += [nn.Conv2d(channels, hidden, 3, stride, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU()]
        height, width = -(-height // stride), -(-width // stride)
        channels, hidden, stride = hidden, 2 * hidden, 2
    layers += [nn.Flatten(), nn.Linear(channels * height * width, DIMENSION, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm1d(DIMENSION), nn.ReLU(), nn.Linear(DIMENSION, classes))


def train(dataset: str, images: data.Images, recipe: Recipe | None = None, device: str = "cpu") -> Classifier:
    """A classifier trained on the training split; deterministic on one CPU model with one thread.

    Raises InputError if the dataset has no labels.
    """
    if images.train_labels is None or images.test_labels is None:
        remedy = "choose another extractor"
        raise InputError(f"--extractor {NAME}: {dataset} has no labels to train a classifier; {remedy}.")
    recipe = recipe or Recipe()
    shape, classes = images.train.shape[1:], int(images.train_labels.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build(shape, classes).to(device)
    _fit(network, images.train, images.train_labels, recipe, device)
    about = {
        "dataset": dataset,
        "dataset_sha256": images.sha256,
        "shape": list(shape),
        "classes": classes,
        "recipe": asdict(recipe),
        "test_accuracy": accuracy(network, images.test, images.test_labels, device),
        "torch": torch.__version__,
    }
    return Classifier(network=network.requires_grad_(False), about=about)


def _fit(network: nn.Module, images: np.ndarray, labels: np.ndarray, recipe: Recipe, device: str) -> None:
    steps = max(recipe.steps, recipe.epochs * len(images) // recipe.batch_size)
    rng = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    network.train()
    for _ in range(steps):
        chosen = torch.randint(len(images), (recipe.batch_size,), generator=rng).numpy()
        logits = network(_shift(_as_float(images[chosen], device), rng))
        target = torch.from_numpy(labels[chosen]).to(device)
        loss = F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    network.eval()


def _as_float(images: np.ndarray, device: str) -> Tensor:
    return (
        torch.from_numpy(images.copy()).to(device).float() / 255
    )  # a copy, since PyTorch warns about read-only arrays


def _shift(images: Tensor, rng: torch.Generator) -> Tensor:
    """Moves a batch by up to an eighth of its size, with one offset for all images; black fills the gap."""
    height, width = images.shape[2:]
    reach = max(1, min(height, width) // 8)
    top, left = torch.randint(2 * reach + 1, (2,), generator=rng).tolist()
    return F.pad(images, [reach] * 4)[:, :, top : top + height, left : left + width]


@torch.inference_mode()
def accuracy(network: nn.Module, images: np.ndarray, labels: np.ndarray, device: str = "cpu") -> float:
    """The share of uint8 images [N, C, H, W] whose highest logit is their label, in [0, 1]."""
    hits = 0
    for start in range(0, len(images), 256):
        predicted = network(_as_float(images[start : start + 256], device)).argmax(dim=1).cpu().numpy()
        hits += int((predicted == labels[start : start + 256]).sum())
    return hits / len(images)


def load(*, dataset: str, data_dir: Path, weights: Path | None = None, device: str = "cpu") -> Extractor:
    """The features of the dataset's classifier, [N, DIMENSION], after its last ReLU.

    The weights are the file `weights` if given, else those in the package, else those in `data_dir`/classifiers, which
    are trained first if they are missing. Raises InputError if the dataset has no labels, or if the file is damaged or
    made for another image shape.
    """
    images = data.load(dataset, data_dir)
    if weights is None:
        shipped = WEIGHTS / f"{NAME}-{dataset}.npz"
        # The name contains the hash of the images: a dataset prepared from another source has its own classifier.
        weights = shipped if shipped.is_file() else data_dir / "classifiers" / f"{dataset}-{images.sha256[:16]}.npz"
        if not weights.is_file():
            _train_once(dataset, images, device).save(weights)
    classifier = Classifier.open(weights)
    shape = tuple(classifier.about["shape"])
    if shape != images.test.shape[1:]:
        sizes = f"{shape}, but those of {dataset} are {images.test.shape[1:]}"
        raise InputError(
            f"--extractor-weights {weights}: made for images of shape {sizes}; leave the option out to train one."
        )
    network = classifier.features.to(device)
    return Extractor(
        name=NAME,
        weights_sha256=file_sha256(weights),
        dimension=DIMENSION,
        resize="none",
        features=lambda images: network(images.to(device, torch.float32)),
        logits=classifier.network[-1].to(device),
        dataset_classes=True,
        device=device,
    )


def _train_once(dataset: str, images: data.Images, device: str) -> Classifier:
    """Trains a classifier on one thread, so that the result is the same on all CPUs of one model.

    Prints its progress to stderr, since it can take minutes.
    """
    show_error(f"training the classifier for {dataset}; this happens only once ...")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        classifier = train(dataset, images, device=device)
    finally:
        torch.set_num_threads(threads)
    show_error(f"... test accuracy {classifier.about['test_accuracy']:.3f}")
    return classifier


def main(arguments: list[str] | None = None) -> None:
    """Train a classifier and write it to a new file."""
    parser = argparse.ArgumentParser(prog="python -m study.metrics.extractors.classifier", description=main.__doc__)
    parser.add_argument("--dataset", required=True, help="name of a labelled dataset")
    parser.add_argument("--output", required=True, type=Path, help=".npz file to write; it must not exist")
    parser.add_argument("--data-dir", type=Path, help="folder with the prepared datasets")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        if options.output.exists():
            raise InputError(f"--output {options.output}: already exists; remove it first, or choose another name.")
        classifier = train(options.dataset, data.load(options.dataset, options.data_dir))
        classifier.save(options.output)
    except InputError as error:
        parser.exit(2, f"{error}\n")
    show(f"{options.output}: test accuracy {classifier.about['test_accuracy']:.4f}")


if __name__ == "__main__":
    main()
