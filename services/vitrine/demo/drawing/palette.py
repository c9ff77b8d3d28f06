"""Colours of one product: the ground that its name promises, and what is printed on it."""

import math
import random
from dataclasses import dataclass

from vitrine.demo.design import Product, shade_of

Rgb = tuple[int, int, int]
Lch = tuple[float, float, float]  # OKLCH: lightness 0..1, chroma, hue in degrees

_SMALL_PRINTS = frozenset({"floral", "dotted", "star", "heart"})
_WHITE: Lch = (0.975, 0.005, 90.0)
_CREAM: Lch = (0.95, 0.03, 90.0)


def oklch(colour: Lch) -> Rgb:
    """The sRGB bytes of an OKLCH colour (Ottosson's matrices), clipped to the gamut."""
    lightness, chroma, hue = colour
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (_gamma(max(0.0, min(1.0, value))) for value in linear)
    return red, green, blue


def _gamma(linear: float) -> int:
    encoded = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * encoded)


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours that a drawing uses; `ground` is the named one, `ink` draws seams on it."""

    ground: Rgb
    lightness: float
    figure: Rgb
    figure2: Rgb
    leaf: Rgb
    eye: Rgb
    deep: Rgb
    soft: Rgb
    pale: Rgb
    lining: Rgb
    trim: Rgb
    ink: Rgb


def palette_of(product: Product) -> Palette:
    """Mixes the palette of a product from its design's stream and its colour."""
    rng = random.Random(f"{product.seed}/{product.colour}/palette")
    shade = shade_of(product)
    ground: Lch = (rng.uniform(*shade.lightness), rng.uniform(*shade.chroma), rng.uniform(*shade.hue))
    style = random.Random(f"{product.seed}/prints")
    figure = _figure(ground, style, small=product.pattern in _SMALL_PRINTS)
    figure2 = _second_figure(ground, figure, style)
    light, chroma, hue = ground
    # Yellow darkened along its own hue looks olive green; towards orange it stays yellow cloth in the shade.
    shady = hue - 22 if 80 < hue < 110 and chroma > 0.1 else hue
    up, down = min(light + 0.13, 0.97), max(light - 0.13, 0.06)
    return Palette(
        ground=oklch(ground),
        lightness=light,
        figure=oklch(figure),
        figure2=oklch(figure2),
        leaf=oklch(_leaf(ground, style)),
        eye=oklch(_eye(ground, figure)),
        deep=oklch((light - 0.27 if light > 0.36 else light + 0.24, min(chroma, 0.10), shady)),
        soft=oklch((down if light > 0.36 else light + 0.12, chroma * 0.85, shady)),
        pale=oklch((up if light < 0.86 else light - 0.2, chroma * 0.7, hue)),
        lining=oklch((max(light * 0.72, 0.10), chroma * 0.8, shady)),
        trim=oklch(figure if product.pattern != "solid" else _plain_trim(ground, style)),
        ink=oklch((light - 0.24, chroma * 0.7, shady) if light > 0.36 else (light + 0.20, chroma * 0.6, hue)),
    )


def _figure(ground: Lch, style: random.Random, *, small: bool) -> Lch:
    """The colour that is printed: mostly white, black or a tint of the ground, so that the ground keeps its name."""
    light, chroma, hue = ground
    roll, turn, bright = style.random(), style.uniform(95, 265), style.uniform(0.12, 0.18)
    tint = (light + 0.30 if light < 0.62 else light - 0.30, chroma * 0.6, hue)
    if light > 0.90:
        contrast = (style.uniform(0.42, 0.62), bright, style.uniform(0, 360))
        return (0.20, 0.01, hue) if roll < 0.45 else contrast
    if light < 0.30:
        contrast = (style.uniform(0.72, 0.85), bright, style.uniform(0, 360))
        return _WHITE if roll < 0.65 or not small else contrast
    if roll < 0.55:
        return _WHITE if light < 0.80 else (0.22, 0.02, hue)
    if roll < 0.70:
        return _CREAM if light < 0.74 else (0.30, 0.05, hue)
    if roll < 0.85 or not small:
        return tint
    return (light + 0.26 if light < 0.6 else light - 0.3, bright, hue + turn)


def _second_figure(ground: Lch, figure: Lch, style: random.Random) -> Lch:
    """A second printed colour, apart from both the ground and the first."""
    candidates: tuple[Lch, ...] = (_WHITE, (0.18, 0.02, ground[2]), (0.86, 0.15, 95.0), (0.62, 0.02, ground[2]))
    apart = [c for c in candidates if min(abs(c[0] - ground[0]), abs(c[0] - figure[0])) > 0.17]
    return style.choice(apart or candidates)


def _eye(ground: Lch, figure: Lch) -> Lch:
    """The middle of a flower: yellow where that stands out, else brown."""
    yellow: Lch = (0.84, 0.16, 88.0)
    on_yellow = 60 < ground[2] < 110 and ground[1] > 0.1
    petals_alike = abs(figure[0] - yellow[0]) < 0.08 and figure[1] > 0.05
    return (0.42, 0.09, 55.0) if on_yellow or petals_alike else yellow


def _leaf(ground: Lch, style: random.Random) -> Lch:
    """A green that shows on the ground, or a darker tint where the ground is green itself."""
    light, _, hue = ground
    if 120 < hue < 170 and ground[1] > 0.05:
        return (light - 0.2 if light > 0.5 else light + 0.22, 0.09, hue)
    lightness = 0.42 if light > 0.58 else 0.66
    return (lightness, 0.10, style.uniform(132, 152))


def _plain_trim(ground: Lch, style: random.Random) -> Lch:
    """Ribs, bands and heels of plain cloth: the ground itself, a little darker or lighter."""
    light, chroma, hue = ground
    step = style.choice((0.0, 0.0, -0.10, 0.10))
    return (min(max(light + step, 0.12), 0.98), chroma, hue)
