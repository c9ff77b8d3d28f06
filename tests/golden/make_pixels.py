"""Writes tests/data/golden_pixels.json: what each picture of tests/data/images looks like to the model.

    python tests/golden/make_pixels.py            write the file
    python tests/golden/make_pixels.py --check    exit 1 if the file would change

Needs transformers, and Pillow before 13, which resizes tall pictures in another order (python-pillow/Pillow#9549). The
reference is transformers' own CLIPImageProcessor on Pillow; the steps before it follow docs/image-policy.md and are
written with NumPy and Pillow's convenience functions, not with the product's code.
"""

import argparse
import hashlib
import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

DATA = Path(__file__).parents[1] / "data"
TARGET = DATA / "golden_pixels.json"
PROBES = 16
"""A grid of 16 x 16 pixels is stored beside the hash: for sources with loss, where decoders may differ a little."""


def rgb(path: Path) -> Image.Image:
    """The first frame, upright, over white, as RGB."""
    with Image.open(path) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):
        return sixteen_bit(image, path)
    if "transparency" not in image.info and "A" not in image.getbands():
        return image.convert("RGB")
    rgba = np.asarray(image.convert("RGBA")).astype(np.float64)
    colour, alpha = rgba[..., :3], rgba[..., 3:] / 255
    return Image.fromarray(np.floor(colour * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8), "RGB")


def sixteen_bit(image: Image.Image, path: Path) -> Image.Image:
    samples = np.array(image, dtype=np.int64)
    if "white_is_zero" in path.name:
        samples = 65535 - samples
    grey = samples // 256
    if "transparency" in image.info:
        grey = np.where(samples == image.info["transparency"], 255, grey)
    return Image.fromarray(np.stack([grey] * 3, axis=-1).astype(np.uint8), "RGB")


def golden(path: Path, processor: CLIPImageProcessorPil) -> dict[str, object]:
    pixels = processor(images=rgb(path), return_tensors="np")["pixel_values"][0]
    pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    if pixels.dtype != np.uint8 or pixels.shape != (224, 224, 3):
        raise ValueError(f"{path.name}: the reference gave {pixels.dtype} {pixels.shape}")
    step = 224 // PROBES
    probes = pixels[step // 2 :: step, step // 2 :: step]
    return {
        "file": path.name,
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "mean": round(float(pixels.mean()), 4),
        "probes": probes.tobytes().hex(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if int(metadata.version("pillow").split(".")[0]) >= 13:
        print("This needs Pillow before version 13: pip install 'pillow<13'", file=sys.stderr)
        return 2
    processor = CLIPImageProcessorPil(do_rescale=False, do_normalize=False)
    files = sorted(path for path in (DATA / "images").iterdir() if path.is_file())
    goldens = [golden(path, processor) for path in files]
    if arguments.check:
        return int(json.loads(TARGET.read_text(encoding="utf-8"))["images"] != goldens)
    head = {
        "made_by": "python tests/golden/make_pixels.py",
        "versions": {name: metadata.version(name) for name in ("pillow", "transformers", "numpy")},
        "probe_grid": PROBES,
    }
    lines = ",\n".join(json.dumps(entry) for entry in goldens)
    content = json.dumps(head, indent=1).removesuffix("\n}") + ',\n "images": [\n' + lines + "\n]}\n"
    TARGET.write_text(content, encoding="utf-8")
    print(f"{len(goldens)} pictures written to {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
