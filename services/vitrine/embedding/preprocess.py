"""An image file to the pixels that CLIP sees, the same for a query and for an index.

The reference is transformers' CLIPImageProcessor on Pillow: RGB, short side to `size` (bicubic, antialiased), central
crop. What comes before it (orientation, transparency, 16 bits, CMYK) is our policy, `docs/image-policy.md`. Nothing of
Pillow's process-wide state is read or changed, so this runs in any number of threads.
"""

import io
import math
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from vitrine.embedding import foreign_formats
from vitrine.embedding.contract import ImagePolicy
from vitrine.errors import (
    ImageCorrupt,
    ImageFormatUnsupported,
    ImageTooLarge,
    ImageTooManyPixels,
    ImageUnrecognised,
    VitrineError,
)
from vitrine.settings import ImageSettings

_ACCEPTED = "JPEG, PNG, WebP, GIF, BMP and TIFF"

_MAX_RESIZED_SIDES = 16
"""Up to this aspect ratio the whole picture is resized and then cropped, as the reference does. Above it only the part
that survives the crop is resized: 1 x 5000 pixels would need 750 MB to keep 150 KB of it."""

_SCALED_DECODING = 2
"""The policy from which on JPEGs are decoded at a fraction of their size."""
_LEAST_SCALED_SIDES = 2
"""What a scaled decoding leaves of the short side, in sides of the crop at least: enough for the resize to choose from.
At one side instead of two, one hit in forty of a top ten changes; docs/image-policy.md has the figures."""

_BICUBIC_REACH = 2
"""Pixels that the bicubic kernel looks at on either side when it enlarges."""

_SIXTEEN_BIT_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_OPAQUE_MODES = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB"})

_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

_TIFF_COMPRESSIONS = frozenset({"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "jpeg"})
"""Those of photographs. libtiff's fax decoder writes a line to standard error for every damaged row."""
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_TILE = 258, 262, (322, 323)
_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _Jpeg(JpegImageFile):
    """A JPEG whose Exif block is not searched for a resolution: Pillow warns about damaged ones while it does."""

    def _read_dpi_from_exif(self) -> None:
        return


def prepare(data: bytes, policy: ImagePolicy, limits: ImageSettings) -> npt.NDArray[np.uint8]:
    """Decodes, orients, flattens, resizes and crops one picture.

    Args:
        data: a whole JPEG, PNG, WebP, GIF, BMP or TIFF file; of an animation the first frame counts.
        policy: size of the crop and the policy's version, from the model's contract.
        limits: most bytes and most declared pixels.

    Returns:
        RGB as uint8 [size, size, 3], not yet scaled or normalised: the model does that.

    Raises:
        ImageTooLarge: more bytes than the limit.
        ImageTooManyPixels: the header declares more pixels than the limit; no pixel was allocated.
        ImageFormatUnsupported: another format that is known, or samples without a fixed white (32-bit, floating point).
        ImageUnrecognised: no picture at all.
        ImageCorrupt: one of the formats above, but truncated or damaged.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"The image has {len(data)} bytes; at most {limits.max_bytes} are accepted.",
            bytes=len(data),
            max_bytes=limits.max_bytes,
        )
    plugin = _plugin_for(data)
    try:
        with _open(plugin, data, limits) as image:
            if policy.policy >= _SCALED_DECODING and isinstance(image, JpegImageFile):
                # By a half, a quarter or an eighth, from the coefficients; all of the file is still read and checked.
                image.draft(None, (_LEAST_SCALED_SIDES * policy.size,) * 2)
            rgb = _flatten(_upright(image))
            return np.array(_resize_and_crop(rgb, policy.size))
    except VitrineError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooManyPixels(
            f"The image declares too many pixels: {error}", max_pixels=limits.max_pixels
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever damaged data makes them stumble over
        raise ImageCorrupt(f"The image is damaged or truncated: {error}") from error


def _plugin_for(data: bytes) -> Callable[[io.BytesIO], ImageFile]:
    """The decoder for a file's first bytes. Names and media types are never trusted."""
    head = data[:18]
    if head.startswith(b"\xff\xd8\xff"):
        return _Jpeg
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WebPImageFile
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GifImageFile
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return TiffImageFile
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return BmpImageFile
    foreign = foreign_formats.name_of(data)
    if foreign is not None:
        raise ImageFormatUnsupported(f"{foreign} is not accepted; {_ACCEPTED} are.", format=foreign)
    raise ImageUnrecognised(f"The data is no image; {_ACCEPTED} are accepted." if data else "The image is empty.")


def _open(plugin: Callable[[io.BytesIO], ImageFile], data: bytes, limits: ImageSettings) -> ImageFile:
    """Reads the header. Calling the plugin, not `Image.open`, leaves out checks that depend on process-wide state."""
    if plugin is WebPImageFile:
        # This plugin allocates its canvas when it is opened.
        _check_pixels(*_webp_size(data), limits)
    image = plugin(io.BytesIO(data))
    _check_pixels(image.width, image.height, limits)
    if isinstance(image, TiffImageFile):
        _check_tiff(image, limits)
    return image


def _check_tiff(image: TiffImageFile, limits: ImageSettings) -> None:
    compression = image.info.get("compression")
    if compression not in _TIFF_COMPRESSIONS:
        raise ImageFormatUnsupported(f"TIFF with compression {compression} is not accepted.", compression=compression)
    # libtiff allocates whole tiles, which may be far larger than the picture.
    tile_width, tile_height = (image.tag_v2.get(tag, 1) for tag in _TIFF_TILE)
    _check_pixels(tile_width, tile_height, limits)


def _check_pixels(width: int, height: int, limits: ImageSettings) -> None:
    if width < 1 or height < 1:
        raise ImageCorrupt(f"The image declares {width} x {height} pixels.")
    if width * height > limits.max_pixels:
        raise ImageTooManyPixels(
            f"The image declares {width} x {height} pixels; at most {limits.max_pixels} in all are accepted.",
            width=width,
            height=height,
            max_pixels=limits.max_pixels,
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from the first chunk: extended, lossless or lossy."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if kind != b"VP8 ":
        raise ImageCorrupt("The WebP image does not start with a known chunk.")
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _upright(image: ImageFile) -> Image.Image:
    """Decodes, and turns the picture as its Exif block says. (Pillow turns a TIFF by itself.)"""
    image.load()
    exif = image.info.get("exif")
    if not isinstance(exif, bytes) or isinstance(image, TiffImageFile):
        return image
    method = _ORIENTATIONS.get(_orientation(exif))
    return image if method is None else image.transpose(method)


def _orientation(exif: bytes) -> int:
    """The orientation in the first directory of an Exif block; 1, upright, when it cannot be read.

    Pillow's reader warns about every damaged entry, and warnings can only be silenced for the whole process.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, directory)
        for entry in range(entries):
            offset = directory + 2 + 12 * entry
            tag, kind = struct.unpack_from(order + "HH", block, offset)
            if tag == _ORIENTATION_TAG:
                form = {3: "H", 4: "I"}.get(kind)
                return 1 if form is None else int(struct.unpack_from(order + form, block, offset + 8)[0])
    except struct.error:
        pass
    return 1


def _flatten(image: Image.Image) -> Image.Image:
    """To RGB: transparency over white, 16 bits to their upper 8, everything else as Pillow converts it."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return _flatten_sixteen_bit(image)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        canvas = Image.new("RGB", rgba.size, "white")
        canvas.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
        return canvas
    if image.mode not in _OPAQUE_MODES:
        raise ImageFormatUnsupported(f"Pixels of mode {image.mode} have no fixed white point.", mode=image.mode)
    return image if image.mode == "RGB" else image.convert("RGB")


def _flatten_sixteen_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bits. Pillow would clip it to white; it reads RGB of 16 bits by the upper byte, so grey does too."""
    samples = np.asarray(image)
    if image.mode == "I" and (samples.min() < 0 or samples.max() > 0xFFFF):
        raise ImageFormatUnsupported("Samples of 32 bits have no fixed white point.", mode=image.mode)
    shift = 8
    if isinstance(image, TiffImageFile):
        # Pillow leaves these two to its callers: 12 bits arrive unscaled, and 0 may mean white.
        if image.tag_v2.get(_TIFF_BITS) == (12,):
            shift = 4
        if image.tag_v2.get(_TIFF_PHOTOMETRIC) == 0:
            samples = 0xFFFF - samples
    grey = (samples >> shift).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[samples == transparent] = 255
    return Image.fromarray(grey, "L").convert("RGB")


def _resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Short side to `size`, long side rounded down, then the central square (an odd pixel is cut at the far end).

    The passes are asked for one by one, horizontal first, because Pillow's own order changed in version 13 for tall
    pictures (python-pillow/Pillow#9549), and with it the rounding and clipping between them.
    """
    width, height = image.size
    longest = int(size * max(width, height) / min(width, height))
    resized = (size, longest) if width <= height else (longest, size)
    left, top = (resized[0] - size) // 2, (resized[1] - size) // 2
    if longest > _MAX_RESIZED_SIDES * size:
        return _resize_centre(image, size, resized, (left, top))
    columns = image.resize((resized[0], height), Image.Resampling.BICUBIC).crop((left, 0, left + size, height))
    return columns.resize((size, resized[1]), Image.Resampling.BICUBIC).crop((0, top, size, top + size))


def _resize_centre(image: Image.Image, size: int, resized: tuple[int, int], corner: tuple[int, int]) -> Image.Image:
    """The same pixels as resizing all and cropping, for the crop alone.

    Pillow takes a box in single precision, so a channel may come out a level or two off. Cutting off most of the long
    side first keeps the box's numbers small, and its error with them.
    """
    (left, right), (top, bottom) = (
        (start * length / target, (start + size) * length / target)
        for length, target, start in zip(image.size, resized, corner, strict=True)
    )
    reach = _BICUBIC_REACH * max(1.0, (right - left) / size, (bottom - top) / size) + 1
    x0, y0 = max(0, math.floor(left - reach)), max(0, math.floor(top - reach))
    x1, y1 = min(image.width, math.ceil(right + reach)), min(image.height, math.ceil(bottom + reach))
    area = image.crop((x0, y0, x1, y1))
    columns = area.resize((size, y1 - y0), Image.Resampling.BICUBIC, box=(left - x0, 0, right - x0, y1 - y0))
    return columns.resize((size, size), Image.Resampling.BICUBIC, box=(0, top - y0, size, bottom - y0))
