"""What the names of a tree of images mean: splits, classes and labels.

Understood without a word are: images without classes; a folder for each class (ImageFolder); folders of splits, named
like train, val, valid, validation or test, in any case, with or without classes in them; a file of labels, such as
StyleGAN's `dataset.json` or Hugging Face's `metadata.csv`, beside which folders mean nothing; and each of these below
any number of single folders, as in Kaggle's archives.
What could be read in two ways is refused: --layout and --labels say what is meant.
"""

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence

from study.core.errors import InputError, look_up
from study.core.text import printable
from study.data.sources.pools import (
    ALL,
    AUTO,
    CLASSES,
    FLAT,
    FOLDERS,
    LAYOUTS,
    TEST,
    TRAIN,
    VALIDATION,
    WORDS,
    Opened,
    Pool,
    refused,
    split_of,
)
from study.data.sources.trees.labels import Labelled, LabelReader, Part, folders_above
from study.data.sources.trees.tree import Tree


def interpret(tree: Tree, layout: str = AUTO, labels: str = AUTO) -> Opened:
    """The splits, classes and labels of a tree of images.

    Args:
        tree: a folder or an archive.
        layout: one of LAYOUTS.
        labels: one of LABELS, or the path of a label file.

    Raises InputError if there are no images, if the layout can be read in two ways, or if labels are missing.
    """
    look_up("--layout", layout, LAYOUTS)
    if not tree.images:
        raise refused(tree.source, no_images(tree))
    if layout == FLAT and labels == FOLDERS:
        raise InputError(f"--labels {labels}: contradicts --layout {layout}; leave one of them out.")
    reader = LabelReader(tree, labels)
    whole = _unwrapped(Part(tree.images, ""), reader)
    if layout in (FLAT, CLASSES):
        parts = {ALL: whole}
    else:
        _check_empty_splits(tree)
        parts = _splits(tree, reader, whole, layout)
    found = {
        split: reader.read(part, whole.prefix, folders=layout != FLAT, sure=layout == CLASSES)
        for split, part in parts.items()
    }
    if VALIDATION in found and TEST in found and found[VALIDATION].numbers and found[TEST].numbers is None:
        unlabelled = found.pop(TEST).names  # as in competitions, which keep these labels to themselves
        tree.passed_over.add("in the test split, which has no labels", unlabelled[0], len(unlabelled))
    _check_alike(tree.source, found)
    first = next(iter(found.values()))
    return Opened(
        source=printable(tree.source),
        kind=tree.kind,
        pools={split: _pool(tree, *labelled) for split, labelled in found.items()},
        classes=first.classes,
        labels_from="" if first.numbers is None else reader.file or "folders",
        passed_over=tree.pass_over(used=reader.used),
        remarks=tuple(reader.remarks()),
    )


def _pool(tree: Tree, names: Sequence[str], labels: Sequence[int] | None, _: Sequence[str]) -> Pool:
    return Pool(n=len(names), read=lambda places: tree.read([names[place] for place in places]), labels=labels)


def no_images(tree: Tree) -> str:
    """What a tree without images holds instead."""
    counts = tree.pass_over().counts
    seen = ", ".join(f"{n:,} {reason}" for reason, n in counts.most_common(4))
    held = next((name for name in tree.others if name.endswith((".mdb", ".parquet", ".npz", ".zip", ".tar"))), None)
    if held:
        return f"no images in it, but {printable(held)}; unpack that, or give it alone."
    return (
        f"no images in it or its sub-folders ({f'passed over: {seen}' if seen else 'it is empty'});"
        " images end in .jpg .png .webp or another suffix of a format that Pillow decodes."
    )


def _unwrapped(part: Part, reader: LabelReader) -> Part:
    """The same images below all single folders, but not below the folder that holds a label file."""
    common = posixpath.commonprefix([part.names[0], part.names[-1]])  # of sorted names, it is common to all
    prefixes = [folder for folder in folders_above(common) if len(folder) >= len(part.prefix)]
    return Part(part.names, next(filter(reader.holds_labels, prefixes), prefixes[-1]))


def _splits(tree: Tree, reader: LabelReader, whole: Part, layout: str) -> dict[str, Part]:
    """The parts of the splits, in the order of SPLITS; ALL alone if the folders are not named after splits."""
    counts = Counter(map(whole.folder_of, whole.names))
    loose = counts.pop("", 0)
    named = {folder: split for folder in counts if (split := split_of(folder))}
    exact = {folder: split for folder, split in named.items() if folder.lower() in WORDS}
    if TRAIN in exact.values() and len({*exact.values()}) > 1:
        named = exact  # beside train and test, a folder such as train_masks is none
    kinds, others = {*named.values()}, [folder for folder in counts if folder not in named]
    doubtful = bool(exact) or (TRAIN in kinds and len(kinds) > 1)
    if layout == AUTO and (len(counts) < 2 or not named or (others and not doubtful)):
        return {ALL: whole}
    seen = ", ".join(printable(folder) for folder in [*sorted(named), *sorted(others)][:6])
    if layout == AUTO and others:
        raise refused(
            tree.source,
            f"of its folders ({seen}) some are named like splits, others are not; give --layout splits to read only"
            " the splits, --layout classes if each folder is a class, or --layout flat if the folders mean nothing.",
        )
    doubles = [folder for folder in named if list(named.values()).count(named[folder]) > 1]
    if doubles or TRAIN not in kinds or len(kinds) < 2:
        same = f"{' and '.join(map(printable, doubles[:2]))} name the same split"
        raise refused(
            tree.source,
            f"{same if doubles else 'has no folders train and test'} (folders: {seen or 'none'}); rename them, or give"
            " --layout classes or --layout flat.",
        )
    found = {}
    for split in (TRAIN, VALIDATION, TEST):
        for folder in (folder for folder in named if named[folder] == split):
            prefix = f"{whole.prefix}{folder}/"
            names = [name for name in whole.names if name.startswith(prefix)]
            found[split] = _unwrapped(Part(names, prefix), reader)
    for folder in others:
        tree.passed_over.add("outside of the folders of the splits", f"{whole.prefix}{folder}/", counts[folder])
    if loose:
        first = next(name for name in whole.names if not whole.folder_of(name))
        tree.passed_over.add("outside of the folders of the splits", first, loose)
    return found


def _check_empty_splits(tree: Tree) -> None:
    """Raises InputError if a folder that is named after a split has no images, but one beside it has."""
    without = (
        (folder, folder.rstrip("/").rpartition("/")[2])
        for name in (*tree.others, *tree.empty)
        for folder in folders_above(name)[1:]
    )
    for folder in dict.fromkeys(folder for folder, last in without if last.lower() in WORDS):
        if any(name.startswith(folder) for name in tree.images):
            continue
        parent = folder[: folder.rstrip("/").rfind("/") + 1]
        beside = (name[len(parent) :].split("/") for name in tree.images if name.startswith(parent))
        if any(len(parts) > 1 and split_of(parts[0]) for parts in beside):
            where = f"{tree.source}/{folder.rstrip('/')}"
            raise refused(where, "no images in it; fill it, or remove it to split the others.")


def _check_alike(source: str, found: Mapping[str, Labelled]) -> None:
    """Raises InputError unless all splits have labels, of the same classes, or none has."""
    (first, one), *others = found.items()
    for split, other in others:
        odd = sorted(set(one.classes) ^ set(other.classes))
        if odd or (one.numbers is None) != (other.numbers is None):
            what = f"have different classes ({printable(odd[0])})" if odd else "do not both have labels"
            raise refused(
                source,
                f"{first} and {split} {what}; give both the same classes, or {first} alone, or --labels none.",
            )
