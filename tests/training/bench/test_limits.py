"""What a step takes and what the device could give, against closed forms."""

from dataclasses import replace
from itertools import count

import pytest
import torch

from study.training.bench import limits
from study.training.bench.cases import Case

SMALL = Case(architecture="sndcgan", method="none", resolution=16, width=2, batch_size=3, n_dis=2)


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """For all tests here."""


def sndcgan_products(size, width, channels=3, latent_dim=128):
    """Multiplications for one image: (G's layers), (D's layers), each in order."""
    kernel = {1: 9, 2: 16}
    units = 8 * width * (size // 8) ** 2
    generator, side = [latent_dim * units], size // 8
    for inputs, outputs in ((8, 4), (4, 2), (2, 1)):  # each value of the smaller map meets the whole kernel
        generator.append(side**2 * 16 * inputs * outputs * width**2)
        side *= 2
    generator.append(side**2 * 9 * width * channels)
    discriminator, inputs = [], channels
    for outputs, stride in ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1)):
        side //= stride
        discriminator.append(side**2 * kernel[stride] * inputs * outputs * width)
        inputs = outputs * width
    return generator, [*discriminator, units]


@pytest.mark.full
def test_operations_are_those_of_the_layers_forward_and_back():
    """A gradient by a layer's weights takes as many as the layer, and so does one by its input, where it is needed."""
    generator, discriminator = sndcgan_products(16, 2)
    g, d = sum(generator), sum(discriminator)
    d_update = g + 2 * (3 * d - discriminator[0])  # real and generated; no gradient by the images
    g_update = 3 * g - generator[0] + 2 * d  # no gradient by the latents, none by D's weights
    expected = 2 * (2 * d_update + g_update) / 2
    assert limits.flops_per_image(SMALL) == pytest.approx(expected, rel=1e-12)


@pytest.mark.full
def test_operations_per_image_depend_on_neither_precision_nor_pack_nor_batch():
    expected = limits.flops_per_image(SMALL)
    assert limits.flops_per_image(replace(SMALL, precision="bfloat16", pack=4, batch_size=7)) == expected


@pytest.mark.full
def test_rewritten_layers_count_as_what_they_have_become():
    """Unpooling blocks compute a quarter of what stands in the table, pooling ones 16 products for 36."""
    case = Case(method="none", width=2, batch_size=2, n_dis=1)
    channels, sides = 8, (4, 8, 16)
    generator = [128 * channels * 16]
    for side in sides:  # shortcut and first convolution on the small map, second on the large one
        generator.append((2 * side**2 + (2 * side) ** 2) * 9 * channels**2)
    generator.append(32**2 * 9 * channels * 3)
    discriminator, first = [], 32**2 * 9 * 3 * 4
    for side, inputs in ((32, 3), (16, 4)):
        pooled = (side // 2) ** 2 * 16
        discriminator += [side**2 * 9 * inputs * 4, pooled * 4 * 4, pooled * inputs * 4]
    discriminator += [3 * 8**2 * 9 * 4 * 4] * 2 + [4]
    g, d = sum(generator), sum(discriminator)
    by_images = first + 16**2 * 16 * 3 * 4  # of the first block's two convolutions of the image itself
    expected = 2 * (g + 2 * (3 * d - by_images) + 3 * g - generator[0] + 2 * d)
    assert limits.flops_per_image(case) == pytest.approx(expected, rel=1e-12)


def test_the_peak_is_the_median_rate_of_products_after_a_first(monkeypatch):
    times = iter([0, 100, 100, 102, 102, 103, 103, 107, 107, 110, 110, 118])  # 100 s, then 2, 1, 4, 3 and 8 s
    monkeypatch.setattr(limits, "clock", lambda device, threads: next(times))
    monkeypatch.setattr(limits, "PRODUCT_SIZES", {"cpu": 10})
    assert limits.flops_per_second.__wrapped__("cpu", "float32", 1) == pytest.approx(2 * 10**3 / 3)


def test_a_single_thread_is_timed_by_what_it_computes_and_several_by_the_wall(monkeypatch):
    ticks = count()
    monkeypatch.setattr(limits.time, "process_time", lambda: 1000 + next(ticks))
    monkeypatch.setattr(limits.time, "perf_counter", lambda: 2000 + next(ticks))
    assert (limits.clock("cpu", 1), limits.clock("cpu", 2)) == (1000, 2001)


@pytest.mark.parametrize("slower", [True, False])
def test_a_slow_precision_is_told_with_both_rates(monkeypatch, slower):
    rates = {"float32": 50e9, "bfloat16": 12.34e9 if slower else 50e9}
    monkeypatch.setattr(limits, "flops_per_second", lambda device, precision, threads, size: rates[precision])
    line = limits.slower_precision("bfloat16")
    assert line is None or "12.3 GFLOP/s in bfloat16 and at 50 GFLOP/s in float32" in line
    assert (line is not None) == slower


def test_rates_are_compared_on_one_thread_and_in_little_time(monkeypatch):
    torch.set_num_threads(2)  # the fixture sets it back
    used, product = [], torch.mm
    monkeypatch.setattr(
        torch, "mm", lambda *pair: used.append((torch.get_num_threads(), len(pair[0]))) or product(*pair)
    )
    monkeypatch.setattr(limits, "QUICK_SIZE", 16)
    limits.slower_precision("bfloat16")
    assert {*used} == {(1, 16)}
    assert torch.get_num_threads() == 2


def test_memory_is_read_in_bytes(tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")
    assert limits.status_bytes(status, "VmRSS") == 2**20


@pytest.mark.slow
def test_memory_grows_with_the_batch():
    """By at least the activations of D's first layer, of real and of generated images."""
    case = Case(architecture="sndcgan", method="none", width=16, batch_size=16, n_dis=1)
    small, large = (limits.memory_growth(replace(case, batch_size=batch)) for batch in (16, 256))
    assert small is not None and large is not None
    activations = 2 * 240 * 16 * 32 * 32 * torch.float32.itemsize
    assert activations < large - small < 20 * activations
