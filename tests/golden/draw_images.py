"""Draws the source pictures of the golden pixels into tests/data/images: one for each way a picture can be stored.

    python tests/golden/draw_images.py

The files are committed, since encoders differ between versions of Pillow; run this only to add one, and make_pixels.py
after it.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageDraw

TARGET = Path(__file__).parents[1] / "data" / "images"


def scene(width: int, height: int) -> Image.Image:
    """A drawing without symmetry: gradients, a frame, a circle, thin lines that alias when they are badly resized."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([60 + 190 * x, 40 + 160 * y, 230 - 170 * (x + y) / 2], axis=-1)
    image = Image.fromarray(pixels.round().astype(np.uint8), "RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width - 1, height - 1), outline="black")
    for number in range(0, max(width, height), 7):
        draw.line((number, 0, 0, number), fill=(255, 255, 255) if number % 2 else (20, 20, 20))
    side = min(width, height)
    draw.ellipse((width * 0.2, height * 0.15, width * 0.2 + side * 0.4, height * 0.15 + side * 0.4), fill="crimson")
    draw.polygon([(width * 0.9, height * 0.5), (width * 0.5, height * 0.95), (width * 0.95, height * 0.9)], fill="gold")
    return image


def ramp(width: int, height: int, top: int) -> np.ndarray:
    """Grey from 0 to `top`, diagonally, with steps that an 8-bit picture could not hold."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return ((x * 0.7 + y * 0.3) * top).round().astype(np.uint16)


def faded(image: Image.Image) -> Image.Image:
    """With an alpha channel that covers every degree, and colour hidden under full transparency."""
    alpha = np.tile(np.linspace(-40, 295, image.width).clip(0, 255).astype(np.uint8), (image.height, 1))
    result = image.convert("RGBA")
    result.putalpha(Image.fromarray(alpha, "L"))
    return result


def png16(pixels: np.ndarray) -> bytes:
    """A PNG of RGB with 16 bits a channel, which Pillow reads but does not write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def tiff(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "TIFF", **options)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def plain() -> Iterator[tuple[str, bytes]]:
    yield "rgb_portrait.png", encoded(scene(301, 417), "PNG", optimize=True)
    yield "rgb_landscape.png", encoded(scene(417, 302), "PNG", optimize=True)
    yield "rgb_square.png", encoded(scene(256, 256), "PNG", optimize=True)
    yield "rgb_exact.png", encoded(scene(224, 224), "PNG", optimize=True)
    yield "rgb_tiny.png", encoded(scene(31, 23), "PNG", optimize=True)
    yield "rgb_one_pixel.png", encoded(Image.new("RGB", (1, 1), (10, 200, 30)), "PNG")
    yield "rgb.jpg", encoded(scene(151, 209), "JPEG", quality=80)
    yield "rgb_progressive.jpg", encoded(scene(209, 151), "JPEG", quality=80, progressive=True, subsampling=0)
    yield "rgb.bmp", encoded(scene(97, 60), "BMP")
    yield "rgb_lzw.tif", tiff(scene(120, 90), compression="tiff_lzw")
    yield "rgb_lossy.webp", encoded(scene(301, 240), "WEBP", quality=80)
    yield "rgb_lossless.webp", encoded(scene(240, 301), "WEBP", lossless=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    yield "rgb_with_profile.png", encoded(scene(120, 100), "PNG", icc_profile=profile.tobytes())
    yield "grey.jpg", encoded(scene(200, 260).convert("L"), "JPEG", quality=80)
    yield "grey.png", encoded(scene(200, 260).convert("L"), "PNG", optimize=True)


def other_colours() -> Iterator[tuple[str, bytes]]:
    cmyk = scene(100, 130).convert("CMYK")
    yield "cmyk_adobe_inverted.jpg", encoded(cmyk, "JPEG", quality=80)
    yield "cmyk.tif", tiff(scene(50, 65).convert("CMYK"), compression="tiff_lzw")
    yield "ycbcr_jpeg.tif", tiff(scene(96, 64), compression="jpeg")
    palette = scene(200, 260).quantize(64)
    yield "palette.png", encoded(palette, "PNG", optimize=True)
    yield "palette.gif", encoded(palette, "GIF")
    yield "palette_four_colours.png", encoded(scene(200, 260).quantize(4), "PNG", bits=2)
    yield "one_bit.png", encoded(scene(200, 260).convert("1"), "PNG")
    yield "one_bit_packbits.tif", tiff(scene(200, 260).convert("1"), compression="packbits")


def transparent() -> Iterator[tuple[str, bytes]]:
    yield "rgba.png", encoded(faded(scene(200, 260)), "PNG", optimize=True)
    yield "rgba.webp", encoded(faded(scene(200, 260)), "WEBP", lossless=True, exact=True)
    yield "rgba.tif", tiff(faded(scene(50, 65)), compression="tiff_lzw")
    yield "la.png", encoded(faded(scene(200, 260)).convert("LA"), "PNG", optimize=True)
    palette = scene(200, 260).quantize(64)
    yield "palette_alphas.png", encoded(palette, "PNG", transparency=bytes(range(0, 256, 4)))
    yield "palette_one_transparent.png", encoded(palette, "PNG", transparency=5)
    yield "palette_one_transparent.gif", encoded(palette, "GIF", transparency=5)
    flat = scene(120, 160).quantize(16).convert("RGB")
    yield "rgb_colour_key.png", encoded(flat, "PNG", transparency=flat.getpixel((60, 60)))
    grey = flat.convert("L")
    yield "grey_colour_key.png", encoded(grey, "PNG", transparency=grey.getpixel((60, 60)))
    bits = scene(120, 160).convert("1")
    yield "one_bit_colour_key.png", encoded(bits, "PNG", transparency=0)


def sixteen_bit() -> Iterator[tuple[str, bytes]]:
    steps = ramp(80, 60, 65535)
    yield "grey_16.png", encoded(Image.fromarray(steps), "PNG")
    yield "grey_16_dark.png", encoded(Image.fromarray(ramp(80, 60, 4000)), "PNG")
    keyed = ramp(40, 30, 65535)
    yield "grey_16_colour_key.png", encoded(Image.fromarray(keyed), "PNG", transparency=int(keyed[15, 20]))
    yield "rgb_16.png", png16(np.stack([steps, steps[::-1], steps[:, ::-1]], axis=-1))
    yield "grey_16.tif", tiff(Image.fromarray(steps), compression="tiff_lzw")
    big_endian = Image.frombytes("I;16B", (80, 60), steps.astype(">u2").tobytes())
    yield "grey_16_big_endian.tif", tiff(big_endian)
    # Pillow does not write 0 as white: change the tag of a finished file (262, one SHORT, from 1 to 0).
    written = tiff(Image.fromarray(ramp(40, 30, 65535)))
    tag = struct.pack("<HHIH", 262, 3, 1, 1)
    yield "grey_16_white_is_zero.tif", written.replace(tag, tag[:-2] + b"\0\0")


def animated() -> Iterator[tuple[str, bytes]]:
    frames = [scene(80, 60), Image.new("RGB", (80, 60), "navy"), Image.new("RGB", (80, 60), "olive")]
    options = {"save_all": True, "append_images": frames[1:], "duration": 100}
    yield (
        "animated.gif",
        encoded(frames[0].quantize(32), "GIF", **(options | {"append_images": [frames[1].quantize(8)]})),
    )
    yield "animated.webp", encoded(frames[0], "WEBP", lossless=True, **options)
    yield "animated.png", encoded(frames[0], "PNG", **options)
    yield "pages.tif", tiff(frames[0], compression="tiff_lzw", save_all=True, append_images=frames[1:])


def turned() -> Iterator[tuple[str, bytes]]:
    for value in range(1, 9):
        yield f"turned_{value}.jpg", encoded(scene(75, 51), "JPEG", quality=80, exif=orientation(value))
    yield "turned_6.png", encoded(scene(75, 51), "PNG", exif=orientation(6))
    yield "turned_8.webp", encoded(scene(75, 51), "WEBP", lossless=True, exif=orientation(8))
    yield "turned_5.tif", tiff(scene(75, 51), compression="tiff_lzw", tiffinfo={0x0112: 5})


def elongated() -> Iterator[tuple[str, bytes]]:
    # 16 times as long as wide is the last that is resized whole. A few colours keep the large files small.
    for short, long in ((240, 2400), (20, 320), (20, 350), (240, 4160), (1, 1000), (3, 700)):
        for width, height in ((short, long), (long, short)):
            picture = scene(width, height).quantize(6, dither=Image.Dither.NONE)
            yield f"long_{width}x{height}.png", encoded(picture, "PNG", optimize=True)


GROUPS: tuple[Callable[[], Iterator[tuple[str, bytes]]], ...] = (
    plain,
    other_colours,
    transparent,
    sixteen_bit,
    animated,
    turned,
    elongated,
)


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    total = 0
    for group in GROUPS:
        for name, data in group():
            (TARGET / name).write_bytes(data)
            total += len(data)
    print(f"{total / 1024:.0f} KiB written to {TARGET}")


if __name__ == "__main__":
    main()
