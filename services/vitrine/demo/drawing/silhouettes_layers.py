"""Warm upper-body garments: sweater, hoodie, jacket, coat."""

import numpy as np

from vitrine.demo.drawing.layers import Cut, Layer, Panel, Seam, both_sides
from vitrine.demo.drawing.outline import Outline, band, closed, curve, ellipse, sharp, soft, symmetric
from vitrine.demo.drawing.tailoring import TOP, Neck, Sleeve, Torso, buttons, drape, neck_rib, ribs, zip_line


def _hem_band(half: float, top: float, depth: float, grip: float = 0.96) -> Outline:
    return symmetric(
        soft(0, top), sharp(half, top - 0.01), sharp(half * grip, top + depth), soft(0, top + depth + 0.02)
    )


def _knitted_arm(cut: Cut, torso: Torso, sleeve: Sleeve, cuff: float) -> list[Layer]:
    outer, inner = sleeve.end(torso)
    panel = sleeve.cuff_panel(torso, cuff, cut.cloth("plain", "plain", "trim"), 0.88)
    along = (panel.outline[2] - panel.outline[1]) * 0.97
    lines = ribs((inner[0], inner[1]), (outer[0], outer[1]), (along[0], along[1]), 6)
    return [*sleeve.layers(torso), panel, *lines]


def sweater(cut: Cut) -> list[Layer]:
    """Long sleeves, deep ribs at hem and cuffs, crew or roll neck."""
    width, length = cut.between(0.43, 0.52), cut.between(0.46, 0.64)
    roll = cut.chance(0.4)
    neck = Neck(0.18, 0.09) if roll else Neck(0.20, cut.between(0.12, 0.17))
    torso = Torso((width, TOP + 0.12), (width - 0.01, -0.22), (width, 0.2), (width - 0.02, length))
    sleeve = Sleeve(cut.between(13, 23), cut.between(0.80, 0.92), cut.between(0.20, 0.25), 0.25)
    layers: list[Layer] = [neck.inside(), *both_sides(_knitted_arm(cut, torso, sleeve, 0.12))]
    layers.append(Panel(torso.outline(neck), roundness=0.65, shadow=0.55))
    layers += both_sides([Seam(torso.armhole(), 0.012, 0.5)])
    layers.append(Panel(_hem_band(width - 0.02, length, 0.12), "plain", roundness=0.5, tone=0.97, shadow=0.2))
    layers += ribs((-width + 0.04, length + 0.005), (width - 0.04, length + 0.005), (0, 0.11), 22)
    layers += _roll_neck() if roll else [*neck_rib(neck, 0.09)]
    layers += drape(cut, width * 0.8, -0.3, length, 5)
    if cut.chance(0.35):
        layers += _cables(length)
    return layers


def _roll_neck() -> list[Layer]:
    collar = symmetric(
        soft(0, TOP - 0.10),
        sharp(0.18, TOP - 0.11),
        soft(0.205, TOP - 0.02),
        sharp(0.20, TOP + 0.08),
        soft(0, TOP + 0.13),
    )
    fold = curve(sharp(-0.2, TOP + 0.02), soft(0, TOP + 0.07), sharp(0.2, TOP + 0.02))
    lines = ribs((-0.17, TOP - 0.09), (0.17, TOP - 0.09), (0, 0.19), 9)
    return [Panel(collar, "plain", roundness=0.7, shadow=0.5), *lines, Seam(fold, 0.012, 0.4)]


def _cables(length: float) -> list[Layer]:
    """Two columns of twisted knitting."""
    ys = np.linspace(-0.45, length - 0.03, 60)
    return [
        Seam(np.stack([x + 0.04 * np.sin(ys * 26 + phase), ys], axis=1), 0.011, 0.35)
        for x in (-0.2, 0.2)
        for phase in (0.0, np.pi)
    ]


def hoodie(cut: Cut) -> list[Layer]:
    """A hood behind the neck, drawstrings, kangaroo pocket, ribbed cuffs; pullover or with a zip."""
    width, length = cut.between(0.46, 0.54), cut.between(0.46, 0.58)
    neck = Neck(0.22, 0.20)
    torso = Torso((width, TOP + 0.14), (width - 0.01, -0.2), (width, 0.2), (width - 0.02, length))
    sleeve = Sleeve(cut.between(13, 22), cut.between(0.80, 0.92), cut.between(0.22, 0.26), 0.3)
    hood_top = TOP - cut.between(0.24, 0.34)
    hood = symmetric(
        soft(0, hood_top),
        soft(0.24, hood_top + 0.09),
        soft(0.35, TOP - 0.04),
        sharp(0.30, TOP + 0.10),
        soft(0, TOP + 0.26),
    )
    opening = symmetric(
        soft(0, hood_top + 0.10),
        soft(0.15, hood_top + 0.17),
        soft(0.21, TOP),
        soft(0.12, TOP + 0.17),
        soft(0, TOP + 0.24),
    )
    layers: list[Layer] = [*both_sides(_knitted_arm(cut, torso, sleeve, 0.10))]
    layers.append(Panel(torso.outline(neck), roundness=0.65, shadow=0.55))
    layers += both_sides([Seam(torso.armhole(), 0.010, 0.5)])
    layers.append(Panel(_hem_band(width - 0.02, length, 0.10), "plain", roundness=0.5, tone=0.97, shadow=0.2))
    layers += ribs((-width + 0.04, length + 0.005), (width - 0.04, length + 0.005), (0, 0.09), 20)
    layers += _kangaroo_pocket(length)
    if cut.chance(0.35):
        layers += zip_line(0.0, TOP + 0.22, length + 0.10)
    layers += [Panel(hood, "print", roundness=0.9, shadow=0.6), Panel(opening, "lining", roundness=0.5, tone=0.9)]
    layers += _drawstrings(cut)
    layers += drape(cut, width * 0.8, -0.2, 0.1, 3)
    return layers


def _kangaroo_pocket(length: float) -> list[Layer]:
    low, high = length - 0.01, length - 0.34
    pocket = symmetric(sharp(0, high), sharp(0.19, high), sharp(0.33, high + 0.19), sharp(0.33, low), sharp(0, low))
    slant = curve(sharp(0.175, high + 0.01), sharp(0.315, high + 0.19))
    return [Panel(pocket, "print", roundness=0.4, shadow=0.6), *both_sides([Seam(slant, 0.009, 0.5, dashed=True)])]


def _drawstrings(cut: Cut) -> list[Layer]:
    drop = cut.between(0.28, 0.42)
    cord = curve(sharp(0.09, TOP + 0.19), soft(0.115, TOP + 0.19 + drop * 0.5), sharp(0.10, TOP + 0.19 + drop))
    return both_sides(
        [Seam(cord, 0.026, 1.0, cloth="cord"), Panel(ellipse(0.10, TOP + 0.2 + drop, 0.02, 0.035), "metal")]
    )


def jacket(cut: Cut) -> list[Layer]:
    """Short and closed in front: a bomber with ribs, a biker with a slanted zip, or a denim cut with chest pockets."""
    width, length = cut.between(0.45, 0.51), cut.between(0.32, 0.46)
    neck = Neck(0.19, 0.16, pointed=True)
    torso = Torso((width, TOP + 0.11), (width, -0.22), (width - 0.01, 0.15), (width - 0.01, length), 0.0)
    sleeve = Sleeve(cut.between(12, 21), cut.between(0.80, 0.90), cut.between(0.21, 0.25), 0.15)
    style = cut.pick("bomber", "biker", "denim")
    if style == "bomber":
        arms = _knitted_arm(cut, torso, sleeve, 0.09)
    else:
        arms = [*sleeve.layers(torso), sleeve.cuff_panel(torso, 0.07, "print", 1.0)]
    layers: list[Layer] = [neck.inside(), *both_sides(arms)]
    layers.append(Panel(torso.outline(neck), roundness=0.6, shadow=0.55))
    layers += both_sides([Seam(torso.armhole(), 0.012, 0.6)])
    layers += drape(cut, width * 0.8, -0.3, length, 4)
    return layers + {"bomber": _bomber, "biker": _biker, "denim": _denim}[style](width, length)


def _bomber(width: float, length: float) -> list[Layer]:
    layers: list[Layer] = [Panel(_hem_band(width - 0.01, length, 0.10, 0.92), "trim", roundness=0.5, tone=0.97)]
    layers += ribs((-width + 0.05, length + 0.005), (width - 0.05, length + 0.005), (0, 0.09), 20)
    layers += zip_line(0.0, TOP + 0.12, length + 0.10)
    collar = band(Neck(0.20, 0.17).line(-0.015), 0.10)
    pocket = curve(sharp(0.19, 0.10), sharp(0.31, 0.28))
    layers += [Panel(collar, "trim", roundness=0.7, shadow=0.5)]
    return layers + both_sides([Seam(pocket, 0.032, 0.8), Seam(pocket, 0.011, 1.0, cloth="metal")])


def _biker(width: float, length: float) -> list[Layer]:
    low = TOP + 0.16
    lapel = closed(
        sharp(0.0, low + 0.30),
        sharp(0.15, low + 0.02),
        sharp(0.23, TOP),
        sharp(0.36, low + 0.05),
        sharp(0.28, low + 0.12),
    )
    slant = curve(sharp(-0.10, low + 0.16), sharp(0.16, length))
    pocket = curve(sharp(0.24, 0.12), sharp(0.36, 0.02))
    layers: list[Layer] = [Seam(slant, 0.045, 0.8), Seam(slant, 0.022, 1.0, cloth="metal")]
    belt = symmetric(
        sharp(0, length - 0.08), sharp(width, length - 0.08), sharp(width, length + 0.01), sharp(0, length + 0.01)
    )
    layers += [Panel(belt, "plain", roundness=0.4, tone=0.93, shadow=0.4)]
    buckle = closed(
        sharp(-0.02, length - 0.09), sharp(0.10, length - 0.09), sharp(0.10, length + 0.02), sharp(-0.02, length + 0.02)
    )
    layers += [Panel(buckle, "metal", roundness=0.8, shadow=0.5)]
    layers += both_sides(
        [Panel(lapel, "print", grain=25, roundness=0.6, shadow=0.8), Seam(pocket, 0.02, 1.0, cloth="metal")]
    )
    return layers


def _denim(width: float, length: float) -> list[Layer]:
    low = TOP + 0.15
    layers: list[Layer] = [
        Seam(curve(sharp(x, low), sharp(x, length)), 0.008, 0.6, dashed=True) for x in (-0.045, 0.045)
    ]
    flap = closed(sharp(0.13, -0.32), sharp(0.36, -0.32), sharp(0.36, -0.25), sharp(0.245, -0.20), sharp(0.13, -0.25))
    pocket = closed(sharp(0.14, -0.29), sharp(0.35, -0.29), sharp(0.35, -0.06), sharp(0.245, -0.01), sharp(0.14, -0.06))
    yoke = curve(sharp(0.05, -0.33), sharp(width - 0.02, -0.33))
    dart = curve(sharp(0.17, 0.0), sharp(0.12, length - 0.09))
    side: list[Layer] = [
        Seam(yoke, 0.010, 0.6),
        Panel(pocket, "print", roundness=0.3, shadow=0.3),
        Seam(dart, 0.010, 0.5),
    ]
    side.append(Panel(flap, "print", roundness=0.4, shadow=0.6))
    side += buttons((0.245,), -0.245, -0.245, 1, 0.018, "metal")
    layers += both_sides(side)
    belt = symmetric(
        sharp(0, length - 0.09), sharp(width, length - 0.09), sharp(width, length + 0.01), sharp(0, length + 0.01)
    )
    layers += [Panel(belt, "plain", roundness=0.4, tone=0.96, shadow=0.3), *_pointed_collar(low)]
    return layers + buttons((0.0,), low + 0.06, length - 0.03, 6, 0.021, "metal")


def _pointed_collar(low: float) -> list[Layer]:
    wing = closed(
        sharp(0.01, low + 0.01),
        soft(0.10, low - 0.08),
        sharp(0.18, TOP - 0.05),
        sharp(0.27, TOP + 0.05),
        sharp(0.19, low + 0.10),
    )
    return both_sides([Panel(wing, "plain", roundness=0.6, shadow=0.7, tone=0.97)])


def coat(cut: Cut) -> list[Layer]:
    """Long, with wide lapels; single or double breasted, straight or belted."""
    width, length = cut.between(0.35, 0.41), cut.between(0.92, 1.12)
    belted, double = cut.chance(0.45), cut.chance(0.55)
    waist = width - (0.05 if belted else 0.0)
    depth = cut.between(0.34, 0.50)
    neck = Neck(0.15, depth, pointed=True)
    torso = Torso(
        (width, TOP + 0.10), (width - 0.01, -0.28), (waist, 0.16), (width + cut.between(0.04, 0.14), length), 0.0
    )
    sleeve = Sleeve(cut.between(8, 14), cut.between(0.88, 0.98), cut.between(0.18, 0.21), 0.05)
    arm: list[Layer] = [*sleeve.layers(torso), sleeve.cuff_panel(torso, 0.05, "print", 1.0)]
    shirt = symmetric(
        sharp(0, TOP + 0.03), sharp(0.16, TOP), sharp(0.02, TOP + depth + 0.05), sharp(0, TOP + depth + 0.06)
    )
    layers: list[Layer] = [Panel(shirt, "lining", roundness=0.4), *both_sides(arm)]
    layers.append(Panel(torso.outline(neck), roundness=0.55, shadow=0.55))
    layers += both_sides([Seam(torso.armhole(), 0.010, 0.55)])
    edge = 0.10 if double else 0.03
    layers.append(Seam(curve(sharp(0, TOP + depth), soft(edge, TOP + depth + 0.12), sharp(edge, length)), 0.011, 0.75))
    layers += drape(cut, width * 0.8, 0.25, length, 4)
    layers += both_sides(_coat_side(depth))
    layers += buttons(
        (-0.10, 0.10) if double else (0.0,), TOP + depth + 0.10, 0.34, 3, 0.028, cut.cloth("lining", "metal")
    )
    if belted:
        layers += _belt(waist)
    return layers


def _coat_side(depth: float) -> list[Layer]:
    low = TOP + depth
    lapel = closed(
        sharp(0.0, low + 0.04),
        sharp(0.15, TOP + 0.02),
        sharp(0.22, TOP + 0.13),
        sharp(0.30, TOP + 0.17),
        soft(0.20, low - 0.06),
    )
    collar = closed(
        sharp(0.11, TOP - 0.03),
        sharp(0.18, TOP - 0.04),
        sharp(0.27, TOP + 0.09),
        sharp(0.21, TOP + 0.135),
        sharp(0.13, TOP + 0.08),
    )
    flap = closed(sharp(0.15, 0.36), sharp(0.31, 0.34), sharp(0.315, 0.42), sharp(0.155, 0.44))
    return [
        Panel(lapel, "print", grain=18, roundness=0.6, shadow=0.8),
        Panel(collar, "print", grain=40, roundness=0.6, shadow=0.7),
        Panel(flap, "print", roundness=0.5, shadow=0.6),
    ]


def _belt(waist: float) -> list[Layer]:
    strip = symmetric(sharp(0, 0.12), sharp(waist + 0.01, 0.11), sharp(waist + 0.01, 0.19), sharp(0, 0.205))
    tail = closed(sharp(-0.03, 0.15), sharp(0.04, 0.15), sharp(0.07, 0.47), sharp(-0.02, 0.48))
    knot = ellipse(0.0, 0.16, 0.05, 0.055)
    return [
        Panel(strip, "plain", roundness=0.5, tone=0.92, shadow=0.6),
        Panel(tail, "plain", roundness=0.5, tone=0.92, shadow=0.6),
        Panel(knot, "plain", roundness=0.8, tone=0.95, shadow=0.6),
    ]
