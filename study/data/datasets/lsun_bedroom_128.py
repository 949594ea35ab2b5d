"""LSUN bedrooms at 128 px: three million images, as the LMDB export of the LSUN project or any other source.

Images are cropped to 128x128 at the centre, or padded with black if they are smaller, and never rescaled. The last
hundredth, sorted by key, is the test split (section 2.5 of the study and its footnote; the released code holds out the
last of 100 shards, 30,588 images, because the official validation set has only 300).

Disk: 3,033,042 images of 49,152 bytes take 149 GB, in addition to the 43 GB of the export; the free space is checked
before anything is written. Time: a core decodes 250 to 300 images of the export per second (341x256 WebP, measured on a
busy shared machine), which makes 3 core-hours, or 12 minutes on 16 cores; hashing and writing is faster (13,000 images
per second). Memory: a few MB per core, 24 MB to find duplicates, and for a folder 0.3 GB of file names.
A killed preparation starts from the beginning. `study data verify` reads 149 GB, which takes minutes.
"""

from study.data.dataset import Dataset
from study.data.sources.opening import open_study

DATASET = Dataset(
    name="lsun-bedroom-128",
    description="3 million bedrooms, 128x128 RGB, the last hundredth test (Yu et al. 2015; the study's section 2.5)",
    resolution=128,
    channels=3,
    labelled=False,
    source=open_study,
    how="--source LMDB",
    fit="pad",
    test_fraction=0.01,
    counts=(3_002_712, 30_330),
    architecture="resnet19",
    width=64,
    discriminator_steps=100_000,
    checkpoint_every=20_000,
    extractor="inception-v3-compat",
)
