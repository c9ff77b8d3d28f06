"""Hat, cap, scarf and bag."""

import numpy as np

from vitrine.demo.drawing.layers import Crease, Cut, Layer, Panel, Seam, both_sides
from vitrine.demo.drawing.outline import band, closed, curve, ellipse, moved, sharp, soft, symmetric
from vitrine.demo.drawing.tailoring import drape, flutes


def hat(cut: Cut) -> list[Layer]:
    """A brimmed hat from the front: a crown with a ribbon over a wide, curved brim."""
    brim, crown = cut.between(0.82, 1.0), cut.between(0.42, 0.52)
    height, dent = cut.between(0.48, 0.66), cut.between(0.0, 0.10)
    droop = cut.between(-0.10, 0.10)
    shape = symmetric(
        soft(0, 0.10), soft(crown, 0.10), soft(brim * 0.86, 0.13 + droop * 0.5), soft(brim, 0.22 + droop),
        soft(brim * 0.8, 0.36 + droop * 0.8), soft(brim * 0.4, 0.45), soft(0, 0.47),
    )  # fmt: skip
    top = symmetric(
        soft(0, -height + dent), soft(crown * 0.45, -height - 0.03), soft(crown * 0.88, -height + 0.12),
        soft(crown * 0.98, -0.1), sharp(crown * 1.02, 0.22), soft(crown * 0.5, 0.30), soft(0, 0.32),
    )  # fmt: skip
    ribbon_y = cut.between(0.06, 0.12)
    ribbon = symmetric(
        soft(0, ribbon_y + 0.04), soft(crown * 0.6, ribbon_y + 0.015), sharp(crown * 1.012, ribbon_y - 0.04),
        sharp(crown * 1.03, ribbon_y + 0.12), soft(crown * 0.55, ribbon_y + 0.19), soft(0, ribbon_y + 0.21),
    )  # fmt: skip
    layers: list[Layer] = [Panel(shape, roundness=0.7)]
    edge = curve(
        soft(-brim * 0.97, 0.25 + droop),
        soft(-brim * 0.4, 0.42),
        soft(0, 0.44),
        soft(brim * 0.4, 0.42),
        soft(brim * 0.97, 0.25 + droop),
    )
    layers += [Seam(edge, 0.009, 0.5, dashed=True), Panel(top, roundness=0.9, shadow=0.9)]
    layers.append(Panel(ribbon, cut.cloth("trim", "lining", "accent"), roundness=0.5, shadow=0.3))
    if dent > 0.03:
        layers.append(
            Crease(
                curve(sharp(-0.03, -height + dent), soft(-0.01, -height * 0.7), sharp(0.0, -height * 0.4)), 0.09, 0.9
            )
        )
    return layers


def cap(cut: Cut) -> list[Layer]:
    """A baseball cap, half turned: a dome of panels, a long visor to the right, a button on top."""
    height, reach = cut.between(0.56, 0.68), cut.between(0.44, 0.56)
    base = 0.28
    dome = closed(
        sharp(-0.62, base), soft(-0.60, -0.10), soft(-0.36, -height + 0.20), soft(-0.02, -height + 0.08),
        soft(0.30, -height + 0.24), soft(0.52, -0.10), sharp(0.56, base - 0.04), soft(0.15, base + 0.07),
        soft(-0.3, base + 0.05),
    )  # fmt: skip
    tip = 0.56 + reach
    visor = closed(
        sharp(0.06, base + 0.02), soft(0.32, base - 0.10), sharp(0.56, base - 0.10),
        soft(0.56 + reach * 0.6, base - 0.02), soft(tip, base + 0.16), soft(0.56 + reach * 0.75, base + 0.26),
        soft(0.45, base + 0.20), soft(0.22, base + 0.14),
    )  # fmt: skip
    under = moved(visor, -0.01, 0.035)
    crown = -height + 0.085
    layers: list[Layer] = [Panel(dome, roundness=0.9)]
    for foot, bow in ((-0.34, -0.14), (0.12, 0.05), (0.40, 0.20)):
        seam = curve(sharp(-0.02, crown), soft(bow + (foot - bow) * 0.25, -0.25), sharp(foot, base + 0.03))
        layers.append(Seam(seam, 0.010, 0.6, dashed=cut.chance(0.3)))
    layers.append(Seam(curve(sharp(-0.61, base - 0.08), soft(-0.2, base - 0.03), sharp(0.56, base - 0.13)), 0.009, 0.5))
    layers += [
        Panel(under, "lining", roundness=0.4, tone=0.9),
        Panel(visor, cut.cloth("print", "print", "plain", "trim"), grain=12, roundness=0.6, shadow=0.6),
    ]
    for inset in (0.05, 0.10):
        stitch = curve(
            soft(0.30, base + 0.15 - inset * 0.6),
            soft(0.45, base + 0.19 - inset),
            soft(0.56 + reach * 0.72, base + 0.24 - inset),
            soft(tip - inset, base + 0.13),
        )
        layers.append(Seam(stitch, 0.007, 0.45, dashed=True))
    layers.append(
        Panel(ellipse(-0.02, crown - 0.01, 0.06, 0.035), cut.cloth("plain", "trim"), roundness=0.8, shadow=0.5)
    )
    for x, y in ((-0.28, -0.28), (0.22, -0.30)):
        layers.append(Panel(ellipse(x, y, 0.022, 0.022, 12), "lining", roundness=0.2, tone=0.7))
    return layers


def scarf(cut: Cut) -> list[Layer]:
    """A long scarf wound once into a loop, its two ends hanging down with fringes."""
    width, thick = cut.between(0.38, 0.46), cut.between(0.27, 0.34)
    long_end, short_end = cut.between(0.88, 1.05), cut.between(0.62, 0.88)
    tail = cut.between(0.27, 0.34)
    layers: list[Layer] = [Panel(ellipse(0, -0.52, width - thick * 0.35, 0.24), "lining", roundness=0.3, tone=0.85)]
    back = curve(
        sharp(-width, -0.50), soft(-width * 0.7, -0.74), soft(0, -0.82), soft(width * 0.7, -0.74), sharp(width, -0.50)
    )
    layers.append(Panel(band(back, thick * 0.55), roundness=0.8))
    layers += _end(cut, -0.16, short_end, tail, 4)
    layers += _end(cut, 0.14, long_end, tail, -5)
    front = closed(
        sharp(-width - 0.07, -0.58), soft(-width * 0.55, -0.42), soft(0, -0.35), soft(width * 0.55, -0.42),
        sharp(width + 0.07, -0.58), soft(width + 0.06, -0.34), soft(width * 0.55, -0.12), soft(0, -0.04),
        soft(-width * 0.55, -0.12), soft(-width - 0.06, -0.34),
    )  # fmt: skip
    layers.append(Panel(front, grain=4, roundness=0.95, shadow=0.9))
    for drop, depth in ((0.0, 0.9), (0.10, 0.8), (0.19, 0.6)):
        fold = curve(
            sharp(-width * 0.95, -0.48 + drop * 0.8),
            soft(-width * 0.3, -0.33 + drop),
            soft(width * 0.4, -0.32 + drop),
            sharp(width * 0.95, -0.46 + drop * 0.6),
        )
        layers.append(Crease(fold, 0.035, depth))
    return layers


def _end(cut: Cut, x: float, bottom: float, width: float, lean: float) -> list[Layer]:
    """One hanging end with its fringe; `lean` turns it, in degrees."""
    half = width / 2
    piece = closed(
        sharp(-half * 0.8, -0.30),
        sharp(half * 0.8, -0.30),
        soft(half * 0.95, 0.1),
        sharp(half, bottom),
        sharp(-half, bottom),
        soft(-half * 0.95, 0.1),
    )
    fringe: list[Layer] = []
    for index in range(12):
        at = -half + width * (index + 0.5) / 12
        sway = cut.between(-0.015, 0.015)
        fringe.append(Seam(curve(sharp(at, bottom - 0.01), sharp(at + sway, bottom + 0.12)), 0.017, 1.0, cloth="plain"))
    layers: list[Layer] = [*fringe, Panel(piece, roundness=0.75, shadow=0.6), *drape(cut, half * 0.7, -0.2, bottom, 3)]
    result: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Panel):
            result.append(
                Panel(moved(layer.outline, x, 0, degrees=lean), layer.cloth, lean, layer.roundness, layer.shadow)
            )
        elif isinstance(layer, Seam):
            result.append(
                Seam(moved(layer.points, x, 0, degrees=lean), layer.width, layer.ink, layer.dashed, layer.cloth)
            )
        else:
            result.append(Crease(moved(layer.points, x, 0, degrees=lean), layer.width, layer.depth))
    return result


def bag(cut: Cut) -> list[Layer]:
    """A tote with two handles, a handbag with a flap and clasp, or a bucket bag with a shoulder strap."""
    style = cut.pick("tote", "flap", "bucket")
    return {"tote": _tote, "flap": _flap_bag, "bucket": _bucket}[style](cut)


def _tote(cut: Cut) -> list[Layer]:
    top, bottom, height = cut.between(0.62, 0.72), cut.between(0.55, 0.74), cut.between(0.62, 0.76)
    rise = cut.between(0.48, 0.62)
    body = symmetric(
        soft(0, -0.10),
        sharp(top, -0.12),
        soft((top + bottom) / 2 + 0.02, height * 0.5),
        soft(bottom, height - 0.04),
        soft(bottom - 0.07, height),
        soft(0, height + 0.02),
    )
    arch = curve(
        sharp(-0.32, 0.02),
        soft(-0.29, -0.12 - rise * 0.6),
        soft(0, -0.12 - rise),
        soft(0.29, -0.12 - rise * 0.6),
        sharp(0.32, 0.02),
    )
    leather = cut.cloth("trim", "plain", "lining")
    layers: list[Layer] = [
        Panel(moved(band(arch, 0.055), 0, -0.05), leather, roundness=0.6, tone=0.85),
        Panel(body, roundness=0.55, shadow=0.4),
    ]
    rim = symmetric(soft(0, -0.10), sharp(top, -0.12), sharp(top - 0.003, -0.05), soft(0, -0.03))
    layers += [Panel(rim, leather, roundness=0.3), Panel(band(arch, 0.06), leather, roundness=0.7, shadow=0.6)]
    layers += both_sides([Panel(ellipse(0.32, 0.0, 0.02, 0.02, 12), "metal", roundness=0.8)])
    return layers + drape(cut, top * 0.7, 0.1, height, 4)


def _flap_bag(cut: Cut) -> list[Layer]:
    half, low = cut.between(0.66, 0.78), cut.between(0.50, 0.62)
    flap_low, rise = cut.between(0.14, 0.28), cut.between(0.38, 0.55)
    body = symmetric(
        sharp(0, -0.20),
        soft(half - 0.08, -0.20),
        soft(half, -0.12),
        soft(half + 0.02, low - 0.1),
        soft(half - 0.06, low),
        soft(0, low + 0.01),
    )
    flap = symmetric(
        sharp(0, -0.23),
        soft(half - 0.06, -0.23),
        soft(half + 0.01, -0.14),
        soft(half - 0.02, flap_low * 0.45),
        soft(half * 0.5, flap_low),
        soft(0, flap_low + 0.04),
    )
    handle = curve(
        sharp(-0.36, -0.18),
        soft(-0.33, -0.20 - rise * 0.6),
        soft(0, -0.20 - rise),
        soft(0.33, -0.20 - rise * 0.6),
        sharp(0.36, -0.18),
    )
    clasp = closed(
        sharp(-0.08, flap_low - 0.05),
        sharp(0.08, flap_low - 0.05),
        soft(0.09, flap_low + 0.06),
        soft(0, flap_low + 0.09),
        soft(-0.09, flap_low + 0.06),
    )
    layers: list[Layer] = [
        Panel(band(handle, 0.075), cut.cloth("plain", "trim", "lining"), roundness=0.8),
        Panel(body, roundness=0.6, shadow=0.3),
    ]
    layers += [Panel(flap, roundness=0.5, shadow=0.9), Panel(clasp, "metal", roundness=0.9, shadow=0.6)]
    layers.append(Seam(np.asarray(flap * np.array([0.96, 0.94])), 0.008, 0.5, dashed=True))
    return layers + both_sides([Panel(ellipse(0.36, -0.2, 0.045, 0.03), "metal", roundness=0.8)])


def _bucket(cut: Cut) -> list[Layer]:
    top, bottom, height = cut.between(0.44, 0.52), cut.between(0.52, 0.62), cut.between(0.72, 0.84)
    rise = cut.between(0.62, 0.80)
    body = symmetric(
        soft(0, -0.14),
        sharp(top, -0.18),
        soft(bottom, height * 0.55),
        soft(bottom - 0.03, height - 0.06),
        soft(bottom - 0.14, height),
        soft(0, height + 0.02),
    )
    strap = curve(
        sharp(-top + 0.02, -0.12),
        soft(-top * 0.8, -0.12 - rise * 0.62),
        soft(0, -0.12 - rise),
        soft(top * 0.8, -0.12 - rise * 0.62),
        sharp(top - 0.02, -0.12),
    )
    leather = cut.cloth("trim", "lining", "plain")
    layers: list[Layer] = [
        Panel(band(strap, 0.06), leather, roundness=0.7),
        Panel(ellipse(0, -0.16, top, 0.06), "lining", tone=0.8),
    ]
    layers += [Panel(body, roundness=0.75, shadow=0.3), *flutes((top, -0.1), (bottom, height * 0.4), 8, 0.8)]
    cord = curve(sharp(-top, -0.03), soft(0, 0.01), sharp(top, -0.03))
    layers.append(Seam(cord, 0.03, 1.0, cloth=leather))
    for lean in (-0.07, 0.06):
        layers.append(Seam(curve(sharp(0, 0.01), soft(lean * 0.6, 0.15), sharp(lean, 0.32)), 0.026, 1.0, cloth=leather))
    return layers
