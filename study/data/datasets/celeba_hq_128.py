"""CelebA-HQ at 128 px: 30,000 images, from any kind of source; sorted by name, the last 3,000 are the test split."""

from study.data.dataset import Dataset
from study.data.sources.opening import open_study

DATASET = Dataset(
    name="celeba-hq-128",
    description="30,000 faces, 128x128 RGB, 27,000 train and 3,000 test (Karras et al. 2018; the study's section 2.5)",
    resolution=128,
    channels=3,
    labelled=False,
    source=open_study,
    counts=(27_000, 3_000),
    architecture="resnet19",
    width=64,
    discriminator_steps=100_000,
    checkpoint_every=20_000,
    extractor="inception-v3-compat",
)
