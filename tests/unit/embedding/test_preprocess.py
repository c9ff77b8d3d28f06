"""Refusals, bounds and policy of `prepare`: what is not a matter of one stored picture."""

import contextlib
import io
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.preprocess import _orientation, prepare
from vitrine.errors import (
    ImageCorrupt,
    ImageFormatUnsupported,
    ImageRejected,
    ImageTooLarge,
    ImageTooManyPixels,
    ImageUnrecognised,
)
from vitrine.settings import ImageSettings

IMAGES = Path(__file__).parents[2] / "data" / "images"
POLICY = ImagePolicy()
LIMITS = ImageSettings()
NARROW = ImageSettings(max_bytes=256 * 1024, max_pixels=500_000)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels, "RGB")


def whole_then_crop(image: Image.Image, size: int) -> np.ndarray:
    """The reference by the book: resize everything, horizontally first, then cut out the centre."""
    width, height = image.size
    long = int(size * max(width, height) / min(width, height))
    target = (size, long) if width <= height else (long, size)
    resized = image.resize((target[0], height), Image.Resampling.BICUBIC).resize(target, Image.Resampling.BICUBIC)
    top, left = (target[1] - size) // 2, (target[0] - size) // 2
    return np.asarray(resized)[top : top + size, left : left + size]


# --- geometry


@given(st.integers(1, 120), st.integers(1, 120), st.integers(1, 64), st.integers(0, 9))
@settings(deadline=None, max_examples=150)
def test_ordinary_shapes_equal_resizing_and_then_cropping(width, height, size, seed):
    if max(width, height) > 16 * min(width, height):
        width = height
    image = noise(width, height, seed)
    pixels = prepare(encoded(image, "BMP"), ImagePolicy(size=size), LIMITS)
    assert np.array_equal(pixels, whole_then_crop(image, size))


@given(st.integers(1, 60), st.integers(17, 60), st.booleans(), st.integers(8, 48))
@settings(deadline=None, max_examples=100)
def test_very_long_shapes_are_within_two_levels(short, ratio, tall, size):
    shape = (short, short * ratio) if tall else (short * ratio, short)
    image = noise(*shape)
    pixels = prepare(encoded(image, "BMP"), ImagePolicy(size=size), LIMITS).astype(int)
    assert np.abs(pixels - whole_then_crop(image, size)).max() <= 2


def test_a_hair_of_a_picture_costs_no_more_than_its_crop():
    """Resized whole, 1 x 2,000,000 pixels would take 300 GB."""
    for shape in ((1, 2_000_000), (2_000_000, 1)):
        pixels = prepare(encoded(Image.new("RGB", shape, "teal"), "PNG"), POLICY, LIMITS)
        assert (pixels == (0, 128, 128)).all()


def test_the_size_is_the_policys():
    image = noise(400, 500)
    pixels = prepare(encoded(image, "PNG"), ImagePolicy(size=336), LIMITS)
    assert np.array_equal(pixels, whole_then_crop(image, 336))


# --- samples and colours


def tiff(width: int, height: int, samples: bytes, *, bits: int, sample_format: int = 1, **tile: int) -> bytes:
    """An uncompressed grey TIFF, little endian; `width` and `height` of a tile are written if given."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8)]
    entries += [(277, 3, 1), (278, 4, height), (279, 4, len(samples)), (339, 3, sample_format)]
    entries += [(322, 4, tile["tile_width"]), (323, 4, tile["tile_height"])] if tile else []
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(samples)) + samples + directory + b"\0\0\0\0"


def test_twelve_bits_are_scaled_to_eight():
    data = tiff(2, 1, bytes([0xFF, 0xFF, 0xFF]), bits=12)
    assert (prepare(data, POLICY, LIMITS) == 255).all()


def test_sixteen_bits_in_a_wider_container_are_scaled_to_eight():
    data = tiff(1, 1, struct.pack("<i", 0x8000), bits=32, sample_format=2)
    assert (prepare(data, POLICY, LIMITS) == 128).all()


@pytest.mark.parametrize(
    "data",
    [
        tiff(1, 1, struct.pack("<i", 0x10000), bits=32, sample_format=2),
        tiff(1, 1, struct.pack("<i", -1), bits=32, sample_format=2),
        tiff(1, 1, struct.pack("<f", 0.5), bits=32, sample_format=3),
    ],
)
def test_samples_without_a_fixed_white_are_unsupported(data):
    with pytest.raises(ImageFormatUnsupported, match="white"):
        prepare(data, POLICY, LIMITS)


def test_colour_under_full_transparency_does_not_show():
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    assert (prepare(encoded(image, "PNG"), POLICY, LIMITS) == 255).all()


def test_the_main_picture_of_a_multi_picture_file_counts():
    data = encoded(
        Image.new("RGB", (16, 16), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16), "blue")]
    )
    red, _, blue = prepare(data, POLICY, LIMITS)[0, 0]
    assert (red > 200, blue < 50) == (True, True)


# --- orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [(3, "H"), (4, "I")])
@pytest.mark.parametrize("value", [1, 3, 6, 8])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_orientation_is_read_like_pillow_reads_it(order, kind, value, prefix):
    code, form = kind
    body = struct.pack(order + "HHI", 0x0112, code, 1) + struct.pack(order + form, value).ljust(4, b"\0")
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 77)
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2) + other + body + b"\0\0\0\0"
    exif = Image.Exif()
    exif.load(prefix + block)
    assert _orientation(prefix + block) == exif[0x0112] == value


@given(st.binary(max_size=80))
def test_orientation_of_any_bytes_is_a_number(block):
    for head in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""):
        assert isinstance(_orientation(head + block), int)


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_damaged_exif_block_neither_warns_nor_matters(cut):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = 1, "x" * 50, 72.0
    image = Image.new("RGB", (32, 16), "green")
    damaged = exif.tobytes()[: 6 + cut]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind in ("JPEG", "WEBP", "PNG"):
            options = {"lossless": True} if kind == "WEBP" else {}
            with_block = prepare(encoded(image, kind, exif=damaged, **options), POLICY, LIMITS)
            assert np.array_equal(with_block, prepare(encoded(image, kind, **options), POLICY, LIMITS))
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_upright(value):
    exif = Image.Exif()
    exif[0x0112] = value
    image = noise(32, 20)
    assert np.array_equal(
        prepare(encoded(image, "PNG", exif=exif), POLICY, LIMITS), prepare(encoded(image, "PNG"), POLICY, LIMITS)
    )


# --- limits


def test_bytes_are_limited():
    data = encoded(noise(64, 64), "BMP")
    with pytest.raises(ImageTooLarge) as caught:
        prepare(data, POLICY, ImageSettings(max_bytes=len(data) - 1))
    assert caught.value.details == {"bytes": len(data), "max_bytes": len(data) - 1}
    assert prepare(data, POLICY, ImageSettings(max_bytes=len(data))).shape == (224, 224, 3)


def test_pixels_are_limited():
    data = encoded(noise(50, 40), "PNG")
    with pytest.raises(ImageTooManyPixels) as caught:
        prepare(data, POLICY, ImageSettings(max_pixels=1999))
    assert caught.value.details == {"width": 50, "height": 40, "max_pixels": 1999}
    assert prepare(data, POLICY, ImageSettings(max_pixels=2000)).shape == (224, 224, 3)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\1IDAT\0"


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">BHH", 8, height, width) + b"\x03\x01\x11\0\x02\x11\0\x03\x11\0"
    return (
        b"\xff\xd8\xff\xc0"
        + struct.pack(">H", len(frame) + 2)
        + frame
        + b"\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\x3f\0"
    )


def webp(chunk: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def webp_extended(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return webp(b"VP8X\x0a\0\0\0\0\0\0\0" + size)


def webp_lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L\x10\0\0\0\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 16)


def webp_lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 \x10\0\0\0\x30\x01\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 8)


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def gif_header(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + frame


def tiff_header(width: int, height: int) -> bytes:
    return tiff(width, height, b"", bits=8)


@pytest.mark.parametrize(
    ("header", "width", "height"),
    [
        (png_header, 50_000, 50_000),
        (png_header, 2_000_000_000, 1),
        (jpeg_header, 65_000, 65_000),
        (webp_extended, 16_000_000, 200),
        (webp_lossless, 16_384, 16_384),
        (webp_lossy, 16_383, 16_383),
        (bmp_header, 50_000, 50_000),
        (bmp_header, 50_000, -50_000),
        (gif_header, 65_000, 65_000),
        (tiff_header, 50_000, 50_000),
    ],
)
def test_declared_pixels_are_refused_from_the_header(header, width, height):
    """These files end where their pixels would begin: decoding any would fail in another way."""
    with pytest.raises(ImageTooManyPixels):
        prepare(header(width, height), POLICY, LIMITS)


WEIGH = """
import sys
from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.preprocess import prepare
from vitrine.errors import ImageTooManyPixels
from vitrine.settings import ImageSettings

def peak_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmPeak"))

data, policy, limits = sys.stdin.buffer.read(), ImagePolicy(), ImageSettings()
before = peak_kib()
try:
    prepare(data, policy, limits)
except ImageTooManyPixels:
    print(peak_kib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("header", [png_header, jpeg_header, bmp_header, gif_header, tiff_header, webp_lossless])
def test_a_picture_that_declares_too_much_takes_no_memory(header):
    """Address space counts, so that memory which is reserved and never touched counts too: 50,000^2 would take 7 GB."""
    side = 16_384 if header is webp_lossless else 50_000
    weighed = subprocess.run(
        [sys.executable, "-c", WEIGH], input=header(side, side), capture_output=True, check=True, timeout=60
    )
    assert int(weighed.stdout) < 16 * 1024


@pytest.mark.parametrize("header", [png_header, bmp_header, gif_header, tiff_header, webp_lossy, jpeg_header])
def test_a_picture_without_area_is_corrupt(header):
    with pytest.raises(ImageCorrupt):
        prepare(header(0, 5), POLICY, LIMITS)


def test_tiles_larger_than_the_picture_are_limited_too():
    image = tiff(16, 16, bytes(256), bits=8, tile_width=60_000, tile_height=60_000)
    with pytest.raises(ImageTooManyPixels):
        prepare(image, POLICY, LIMITS)


def test_pillows_own_limit_is_not_consulted(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert prepare(encoded(noise(30, 30), "PNG"), POLICY, LIMITS).shape == (224, 224, 3)
    assert prepare(encoded(noise(30, 30), "JPEG"), POLICY, LIMITS).shape == (224, 224, 3)


# --- what is no picture


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_tiffs_with_fax_compression_are_unsupported(compression):
    image = Image.new("1", (16, 16))
    with pytest.raises(ImageFormatUnsupported, match=compression):
        prepare(encoded(image, "TIFF", compression=compression), POLICY, LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"hello",
        b"<!doctype html><html></html>",
        b"<!doctype html><html><svg xmlns='http://www.w3.org/2000/svg'/></html>",
        b"<?xml version='1.0'?><rss/>",
        b"<svgx/>",
        b"PK\x03\x04",
        b"BMW is a car",
        b"RIFF\x04\0\0\0WAVE",
        b"GIF88a",
        b"MM is a text",
        b"P8 is no pixmap",
        b"\0\0\0\x18ftypisom\0\0\2\0isommp41",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_picture_is_unrecognised(data):
    with pytest.raises(ImageUnrecognised):
        prepare(data, POLICY, LIMITS)


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (SVG, "SVG"),
        (b" \r\n\t" + SVG, "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>\n<!-- by <svg-tool> -- 1 -->\n" + SVG, "SVG"),
        (b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' [<!ENTITY a 'b'>]><svg/>", "SVG"),
        (b"<?xml-stylesheet href='a?b'?><s:svg xmlns:s='http://www.w3.org/2000/svg'/>", "SVG"),
        (("\ufeff" + SVG.decode()).encode("utf-16-le"), "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\n" * 100 + b"%PDF-1.4", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6\x1e\0\0\0", "EPS"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x1cftypheic", "HEIC"),
        (b"\0\0\0\x1cftypisom\0\0\0\0isomheix\0\0\0\0", "HEIC"),
        (b"\0\0\x01\0\x01\0", "ICO"),
        (b"8BPS\0\x01", "PSD"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"II\xbc\x01\x20\0\0\0", "JPEG XR"),
        (b"P6\n1 1\n255\nabc", "Netpbm"),
        (b"\x01\0\0\0" + b"\0" * 36 + b" EMF", "EMF"),
        (b"\0" * 128 + b"DICM", "DICOM"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_format_is_unsupported_and_named(data, name):
    with pytest.raises(ImageFormatUnsupported, match=name) as caught:
        prepare(data, POLICY, LIMITS)
    assert caught.value.details == {"format": name}


WRITTEN = {"PDF": "PDF", "EPS": "PostScript", "ICO": "ICO", "PPM": "Netpbm", "JPEG2000": "JPEG 2000", "AVIF": "AVIF"}
WRITTEN |= {"DDS": "DDS", "ICNS": "ICNS"}


@pytest.mark.parametrize("kind", WRITTEN)
def test_files_of_other_formats_are_named(kind):
    with pytest.raises(ImageFormatUnsupported) as caught:
        prepare(encoded(Image.new("RGB", (32, 32)), kind), POLICY, LIMITS)
    assert caught.value.details == {"format": WRITTEN[kind]}


@pytest.mark.parametrize("unit", [b"<?", b"<!--", b"<!---->", b"-", b" ", b"<a:"])
def test_naming_a_format_takes_linear_time(unit):
    """64 KiB of what a pattern could go astray in; quadratic time would be minutes."""
    began = time.process_time()
    with pytest.raises(ImageUnrecognised):
        prepare(b"<!--" + unit * (64 * 1024 // len(unit)), POLICY, LIMITS)
    assert time.process_time() - began < 1.0


def test_a_zip_behind_a_jpeg_is_a_jpeg():
    image = encoded(noise(40, 40), "JPEG")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("page.html", "<script>")
    assert np.array_equal(prepare(image + archive.getvalue(), POLICY, LIMITS), prepare(image, POLICY, LIMITS))


FORMATS = [
    "rgb.jpg",
    "rgb_portrait.png",
    "rgb_lossless.webp",
    "rgb_lossy.webp",
    "palette.gif",
    "rgb.bmp",
    "rgb_lzw.tif",
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
def test_a_truncated_picture_is_corrupt(name, share):
    data = (IMAGES / name).read_bytes()
    with pytest.raises(ImageCorrupt):
        prepare(data[: max(18, int(len(data) * share))], POLICY, LIMITS)


SOURCES = sorted(IMAGES.iterdir())


@given(
    st.sampled_from(SOURCES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
    st.floats(0.1, 1),
    st.booleans(),
)
@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_pictures_are_refused_in_the_products_own_words(path, changes, kept, near_start):
    data = bytearray(path.read_bytes())
    span = min(len(data), 200) if near_start else len(data)
    for place, value in changes:
        data[min(int(place * span), len(data) - 1)] = value
    refused_or_prepared(bytes(data[: int(len(data) * kept)]))


MAGIC = [
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"BM" + b"\0" * 12 + b"\x28\0\0\0",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
]
MAGIC += [
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"RIFF\x40\0\0\0WEBPVP8X",
    b"RIFF\x40\0\0\0WEBPVP8L",
    b"RIFF\x40\0\0\0WEBPALPH",
    b"",
]


@given(st.sampled_from(MAGIC), st.binary(max_size=200))
@settings(deadline=None, max_examples=400)
def test_any_bytes_are_refused_in_the_products_own_words(magic, tail):
    refused_or_prepared(magic + tail)


def refused_or_prepared(data: bytes) -> None:
    with contextlib.suppress(ImageRejected):
        assert prepare(data, POLICY, NARROW).shape == (224, 224, 3)


# --- scaled decoding

SCALED = ImagePolicy(policy=2)


def photo(width: int, height: int) -> bytes:
    """A JPEG with broad shapes and some grain, as a photograph has."""
    grain = np.asarray(noise(width, height), np.float32) - 128
    shapes = np.asarray(noise(6, 9, seed=1).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return encoded(Image.fromarray(np.clip(shapes + grain * 0.1, 0, 255).astype(np.uint8), "RGB"), "JPEG", quality=90)


def test_a_large_jpeg_is_decoded_at_a_fraction_under_the_second_policy_alone() -> None:
    data = photo(1166, 1750)
    full, scaled = (prepare(data, policy, LIMITS).astype(int) for policy in (POLICY, SCALED))
    assert scaled.shape == full.shape
    assert not np.array_equal(scaled, full)
    assert np.abs(scaled - full).mean() < 1


@pytest.mark.parametrize("side", [224, 448, 895])
def test_a_jpeg_that_would_keep_less_than_two_sides_is_decoded_whole(side: int) -> None:
    data = photo(side, side + 40)
    np.testing.assert_array_equal(prepare(data, SCALED, LIMITS), prepare(data, POLICY, LIMITS))


def test_only_jpegs_are_scaled_while_they_are_decoded() -> None:
    data = encoded(noise(900, 960), "PNG")
    np.testing.assert_array_equal(prepare(data, SCALED, LIMITS), prepare(data, POLICY, LIMITS))


def test_a_truncated_jpeg_is_refused_under_the_second_policy_too() -> None:
    data = photo(1166, 1750)
    with pytest.raises(ImageCorrupt):
        prepare(data[: len(data) * 9 // 10], SCALED, LIMITS)


def test_a_turned_jpeg_is_turned_after_scaling() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.open(io.BytesIO(photo(1166, 1750)))
    turned = encoded(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif.tobytes())
    got, wanted = prepare(turned, SCALED, LIMITS), prepare(encoded(upright, "JPEG", quality=95), SCALED, LIMITS)
    assert np.abs(got.astype(int) - wanted).mean() < 2
