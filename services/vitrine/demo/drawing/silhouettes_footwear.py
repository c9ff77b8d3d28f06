"""Sneakers, boots and socks: always a pair, the second one set behind."""

from vitrine.demo.drawing.layers import Crease, Cut, Layer, Panel, Seam, placed
from vitrine.demo.drawing.outline import closed, curve, sharp, soft
from vitrine.demo.drawing.tailoring import ribs


def _pair(single: list[Layer], back: tuple[float, float], degrees: float) -> list[Layer]:
    """Two of a kind: one shifted back by (dx, dy) and turned, the other in front of it."""
    return [*placed(single, back[0], back[1], 0.97, degrees), *single]


def sneakers(cut: Cut) -> list[Layer]:
    """Seen from the side: a low or high upper on a thick pale sole, toe cap, laces."""
    collar = cut.pick(-0.26, -0.26, -0.52)
    sole = cut.between(0.11, 0.16)
    upper = closed(
        sharp(-0.88, 0.30), soft(-0.92, 0.05), sharp(-0.86, collar), soft(-0.62, collar + 0.07),
        sharp(-0.36, collar - 0.05), soft(-0.16, -0.13), soft(0.16, 0.00), soft(0.56, 0.04), soft(0.84, 0.14),
        soft(0.92, 0.30), sharp(0.90, 0.34), soft(0, 0.36),
    )  # fmt: skip
    bottom = closed(
        sharp(-0.92, 0.26), soft(-0.3, 0.30), soft(0.4, 0.30), soft(0.93, 0.25), soft(0.99, 0.33),
        soft(0.94, 0.29 + sole), soft(0.4, 0.31 + sole), soft(-0.3, 0.31 + sole), soft(-0.9, 0.30 + sole),
        soft(-0.96, 0.34),
    )  # fmt: skip
    toe = closed(
        sharp(0.58, 0.32), soft(0.60, 0.17), sharp(0.68, 0.065), soft(0.84, 0.13), soft(0.93, 0.30), sharp(0.88, 0.32)
    )
    heel = closed(
        sharp(-0.88, 0.30),
        soft(-0.925, 0.05),
        sharp(-0.865, collar + 0.05),
        sharp(-0.74, collar + 0.08),
        soft(-0.73, 0.1),
        sharp(-0.70, 0.30),
    )
    toe_cloth = cut.cloth("sole", "trim", "plain")
    tongue = closed(
        sharp(-0.40, collar + 0.02),
        soft(-0.30, collar - 0.10),
        sharp(-0.22, collar - 0.06),
        soft(-0.06, -0.08),
        sharp(-0.16, 0.0),
    )
    layers: list[Layer] = [Panel(tongue, "plain", roundness=0.5, tone=0.93), Panel(upper, roundness=0.8, shadow=0.2)]
    layers += [
        Panel(heel, cut.cloth("trim", "plain"), roundness=0.5, tone=0.96),
        Panel(toe, toe_cloth, roundness=0.6, shadow=0.2),
    ]
    layers.append(
        Seam(curve(sharp(-0.36, collar - 0.02), soft(-0.20, 0.02), soft(0.10, 0.17), sharp(0.16, 0.30)), 0.011, 0.55)
    )
    layers += _laces(collar, cut.pick(4, 5))
    layers.append(Panel(bottom, "sole", roundness=0.6, shadow=0.35))
    layers.append(
        Seam(
            curve(sharp(-0.93, 0.27 + sole * 0.6), soft(0, 0.31 + sole * 0.5), sharp(0.95, 0.27 + sole * 0.6)),
            0.014,
            0.5,
        )
    )
    return _pair(
        layers,
        (cut.between(0.06, 0.14), cut.between(-0.52, -0.40) - (0.12 if collar < -0.4 else 0)),
        cut.between(-4, 6),
    )


def _laces(collar: float, count: int) -> list[Layer]:
    layers: list[Layer] = []
    for index in range(count):
        share = index / (count - 1)
        x, y = -0.33 + 0.40 * share, collar + 0.02 + (0.01 - collar) * share
        lace = curve(sharp(x - 0.09, y + 0.11), soft(x, y + 0.03), sharp(x + 0.05, y - 0.035))
        layers.append(Seam(lace, 0.036, 1.0, cloth="cord"))
    return layers


def boots(cut: Cut) -> list[Layer]:
    """Seen from the side: a shaft up to the ankle or the knee, a heel, a dark sole; laced, zipped or elastic."""
    top, heel = cut.pick(-0.62, -0.72, -1.0), cut.between(0.10, 0.22)
    width = cut.between(0.44, 0.54)
    floor = 0.78
    drop = heel * 0.9  # the ball of the foot stands as low as the heel's tip
    shaft = closed(
        sharp(-0.50, top), sharp(-0.50 + width, top - 0.02), soft(-0.49 + width, -0.10),
        soft(0.06, 0.26 + drop * 0.4), soft(0.34, 0.42 + drop * 0.8), soft(0.60, 0.53 + drop),
        soft(0.68, 0.68 + drop), sharp(0.66, floor - 0.06 + drop), soft(0.20, floor - 0.07 + drop),
        soft(-0.15, floor - 0.08 + drop * 0.3), sharp(-0.50, floor - 0.08), soft(-0.56, 0.50), soft(-0.50, 0.10),
    )  # fmt: skip
    sole = closed(
        sharp(-0.55, floor - 0.09), soft(-0.15, floor - 0.09 + drop * 0.3), soft(0.20, floor - 0.08 + drop),
        soft(0.67, floor - 0.09 + drop), soft(0.72, floor - 0.03 + drop), sharp(0.66, floor + heel),
        sharp(0.16, floor + heel), soft(-0.08, floor + drop * 0.55), sharp(-0.20, floor + drop * 0.35),
        sharp(-0.22, floor + heel), sharp(-0.53, floor + heel), soft(-0.55, floor),
    )  # fmt: skip
    style = cut.pick("lace", "chelsea", "zip") if top > -0.8 else cut.pick("lace", "zip")
    layers: list[Layer] = [Panel(shaft, roundness=0.85), Panel(sole, "lining", roundness=0.4, tone=0.55, shadow=0.3)]
    rim = closed(
        sharp(-0.51, top - 0.01),
        sharp(-0.49 + width, top - 0.03),
        sharp(-0.49 + width, top + 0.06),
        sharp(-0.51, top + 0.08),
    )
    layers.append(Panel(rim, cut.cloth("plain", "trim"), roundness=0.5, tone=0.92))
    layers.append(
        Seam(
            curve(sharp(0.16, floor - 0.08 + drop), soft(0.22, 0.52 + drop), sharp(0.34, 0.43 + drop * 0.8)),
            0.010,
            0.55,
        )
    )
    layers.append(Seam(curve(sharp(-0.55, 0.46), soft(-0.34, 0.48), sharp(-0.30, floor - 0.09)), 0.010, 0.5))
    for y, depth in ((0.20, 0.9), (0.31, 0.7), (0.10, 0.5)):
        layers.append(Crease(curve(sharp(0.10, y + 0.1), soft(-0.12, y + 0.06), sharp(-0.34, y)), 0.03, depth))
    layers += _boot_closure(style, top, width)
    return _pair(layers, (cut.between(0.34, 0.46), cut.between(-0.10, -0.04)), cut.between(-3, 2))


def _boot_closure(style: str, top: float, width: float) -> list[Layer]:
    if style == "chelsea":
        gore = closed(
            sharp(-0.36, top + 0.06),
            sharp(-0.12, top + 0.06),
            soft(-0.16, top + 0.40),
            sharp(-0.24, top + 0.62),
            soft(-0.32, top + 0.40),
        )
        return [Panel(gore, "lining", roundness=0.4), *ribs((-0.36, top + 0.08), (-0.12, top + 0.08), (0.0, 0.34), 6)]
    if style == "zip":
        zipper = curve(sharp(-0.28, top + 0.06), sharp(-0.27, 0.52))
        return [Seam(zipper, 0.05, 0.6), Seam(zipper, 0.022, 1.0, cloth="metal")]
    layers: list[Layer] = []
    for index in range(6):
        share = index / 5
        x, y = -0.56 + width + 0.30 * share**2.2, top + 0.16 + (0.22 - top) * share
        layers.append(Seam(curve(sharp(x - 0.15, y + 0.03), sharp(x + 0.01, y - 0.01)), 0.032, 1.0, cloth="cord"))
    return layers


def socks(cut: Cut) -> list[Layer]:
    """A pair lying flat: ribbed cuff, bent foot, heel and toe in another colour."""
    top, width = cut.pick(-0.85, -0.60, -1.0), cut.between(0.34, 0.40)
    left, right = -0.42, -0.42 + width
    body = closed(
        sharp(left, top), sharp(right, top), soft(right + 0.005, -0.05), soft(right + 0.12, 0.26), soft(0.42, 0.42),
        soft(0.58, 0.62), soft(0.52, 0.82), soft(0.28, 0.86), soft(-0.05, 0.72), soft(-0.36, 0.55),
        soft(left - 0.06, 0.32), soft(left, 0.05),
    )  # fmt: skip
    toe = closed(
        sharp(0.36, 0.385),
        soft(0.52, 0.50),
        soft(0.59, 0.64),
        soft(0.52, 0.825),
        soft(0.30, 0.87),
        sharp(0.20, 0.84),
        soft(0.26, 0.62),
    )
    heel = closed(
        sharp(left - 0.01, 0.12), soft(left - 0.065, 0.33), soft(-0.36, 0.555), sharp(-0.14, 0.685), soft(-0.17, 0.42)
    )
    cloth = cut.cloth("trim", "lining", "plain", "plain")
    cuff_low = top + cut.between(0.13, 0.20)
    cuff = closed(
        sharp(left - 0.012, top - 0.01),
        sharp(right + 0.012, top - 0.01),
        sharp(right + 0.008, cuff_low),
        sharp(left - 0.008, cuff_low),
    )
    layers: list[Layer] = [
        Panel(body, roundness=0.8, shadow=0.5),
        Panel(toe, cloth, roundness=0.7),
        Panel(heel, cloth, roundness=0.6),
    ]
    layers += [Panel(cuff, cloth, roundness=0.6), *ribs((left, top), (right, top), (0, cuff_low - top), 10)]
    layers += [Seam(curve(sharp(0.36, 0.385), soft(0.26, 0.62), sharp(0.20, 0.84)), 0.010, 0.5)]
    for y in (0.18, 0.27):
        layers.append(
            Crease(
                curve(sharp(right + 0.06, y), soft(right - 0.06, y + 0.02), sharp(right - 0.18, y - 0.04)), 0.03, 0.7
            )
        )
    return _pair(layers, (cut.between(0.36, 0.48), cut.between(-0.20, -0.04)), cut.between(-12, 10))
