"""LSUN bedrooms at 128 px: three million images, as the LMDB export of the LSUN project, a folder, or parquet files.

Centre crop, or black border where an image is smaller, to 128x128, never rescaled; the last hundredth by key is the
test split (the study's section 2.5 and its footnote; the released code holds out the last of 100 shards, 30,588 images,
since the official validation set has 300).

Disk: 3,033,042 images of 49,152 bytes are 149 GB, beside the 43 GB of the export; free space is compared before any of
it is written. Time: a core decodes 250 to 300 of the export's images a second (341x256 WebP, measured on a busy shared
machine), so 3 core-hours: 12 minutes on 16 cores, while this process hashes and writes (it can 13,000 images a second).
Memory: a few MB per core, 8 bytes an image to find duplicates (24 MB), and from a folder 0.3 GB of file names.
A preparation that is killed starts anew. `study data verify` reads 149 GB: minutes, at the disk's speed.
"""

from study.data.dataset import Dataset
from study.data.sources.exports import open_any

DATASET = Dataset(
    name="lsun-bedroom-128",
    description="3 million bedrooms, 128x128 RGB, the last hundredth test (Yu et al. 2015; the study's section 2.5)",
    resolution=128,
    channels=3,
    labelled=False,
    source=open_any,
    how="--source LMDB",
    fit="pad",
    test_fraction=0.01,
    architecture="resnet19",
    width=64,
    discriminator_steps=100_000,
    checkpoint_every=20_000,
    extractor="inception-v3-compat",
)
