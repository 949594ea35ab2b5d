"""Metric protocols: their identity, which every score hangs on, and the refusal of what is none."""

import numpy as np
import pytest

from study.core.errors import InputError
from study.core.evaluation import MetricProtocol
from study.core.trial import field_names

PROTOCOL = {"extractor": "classifier", "weights_sha256": "c" * 64, "n_real": 600, "n_fake": 600}


def test_golden_protocol_ids():
    """Fields that came later are no part of an id while they are at their defaults."""
    assert MetricProtocol(**PROTOCOL).id == "6a41e27fef2f"
    assert MetricProtocol(**PROTOCOL, kid_subset=None, feature_precision="float32").id == "6a41e27fef2f"
    assert MetricProtocol(**PROTOCOL, kid_subset=100).id == "d29928ec3444"
    assert MetricProtocol(**PROTOCOL, feature_precision="bfloat16").id == "1cd2d84ccd6c"


def test_every_field_is_part_of_the_protocol_id():
    changed = {
        "extractor": "inception-v3-compat",
        "weights_sha256": "d" * 64,
        "n_real": 599,
        "n_fake": 599,
        "resize": "bilinear",
        "quantize": True,
        "split": "train",
        "dtype": "float32",
        "seed": 43,
        "kid_subset": 100,
        "feature_precision": "bfloat16",
    }
    assert set(changed) == set(field_names(MetricProtocol))
    ids = {MetricProtocol(**{**PROTOCOL, field: value}).id for field, value in changed.items()}
    assert len(ids | {MetricProtocol(**PROTOCOL).id}) == len(changed) + 1


def test_protocol_numbers():
    numpy = MetricProtocol(**{**PROTOCOL, "n_real": np.int64(600), "n_fake": 600.0, "quantize": np.False_})
    assert numpy.id == MetricProtocol(**PROTOCOL).id
    with pytest.raises(InputError, match=r"feature_precision float16: unknown\. Known: float32, bfloat16"):
        MetricProtocol(**PROTOCOL, feature_precision="float16")
    for field in ("n_real", "n_fake"):
        with pytest.raises(InputError, match=f"{field} 1: must be a whole number, 2 or more"):
            MetricProtocol(**{**PROTOCOL, field: 1})
