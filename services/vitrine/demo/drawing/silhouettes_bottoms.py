"""Dress, skirt, trousers and shorts."""

from vitrine.demo.drawing.layers import Crease, Cut, Layer, Panel, Seam, both_sides
from vitrine.demo.drawing.outline import Outline, closed, curve, sharp, soft, symmetric
from vitrine.demo.drawing.tailoring import TOP, Neck, Sleeve, Torso, buttons, drape, flutes, neck_rib


def _flare(top: tuple[float, float], bottom: tuple[float, float], dip: float, hip: float) -> Outline:
    """A skirt piece between (half width, y) at the waist and at the hem; `hip` bends its sides outwards."""
    (tw, ty), (bw, by) = top, bottom
    return symmetric(
        soft(0, ty + 0.01), sharp(tw, ty), soft(tw + (bw - tw) * 0.45 + hip, ty + (by - ty) * 0.42), sharp(bw, by),
        soft(bw * 0.62, by + dip * 0.8), soft(0, by + dip),
    )  # fmt: skip


def dress(cut: Cut) -> list[Layer]:
    """A bodice and a flared skirt in one; sleeveless, strappy, short or long sleeves; tiers and belts vary."""
    width, waist = cut.between(0.31, 0.35), cut.between(0.24, 0.28)
    waist_y, length = cut.between(-0.12, 0.02), cut.between(0.78, 1.18)
    flare = cut.between(0.20, 0.34)
    neck = cut.pick(Neck(0.17, 0.17), Neck(0.19, 0.32, pointed=True), Neck(0.22, 0.24), Neck(0.24, 0.11))
    arms = cut.pick("none", "short", "long", "none")
    torso = Torso(
        (width - (0.03 if arms == "none" else 0.0), TOP + 0.06),
        (width, -0.38),
        (waist, waist_y),
        (waist, waist_y + 0.03),
    )
    layers: list[Layer] = [neck.inside()]
    if arms == "short":
        layers += both_sides(Sleeve(cut.between(28, 40), 0.22, 0.26, cut.pick(0.1, 0.5)).layers(torso))
    elif arms == "long":
        sleeve = Sleeve(cut.between(14, 22), 0.64, 0.17, cut.between(0.1, 0.7))
        layers += both_sides([*sleeve.layers(torso), sleeve.cuff_panel(torso, 0.04, "print", 0.95)])
    hem = (waist + flare, length)
    layers.append(Panel(_flare((waist, waist_y), hem, cut.between(0.03, 0.07), 0.02), roundness=0.65, shadow=0.4))
    layers += flutes((waist, waist_y), hem, cut.pick(7, 9, 11), 0.8)
    if cut.chance(0.3):
        layers += _tiers(waist, waist_y, hem)
    layers.append(Panel(torso.outline(neck), roundness=0.6, shadow=0.45))
    if arms != "none":
        layers += both_sides([Seam(torso.armhole(), 0.009, 0.5)])
    layers += [*neck_rib(neck, 0.03), *drape(cut, waist * 0.7, -0.4, waist_y, 3)]
    return layers + _waist(cut, waist, waist_y)


def _waist(cut: Cut, waist: float, y: float) -> list[Layer]:
    depth = cut.pick(0.0, 0.0, 0.05, 0.08)
    if depth == 0:
        return [Seam(curve(sharp(-waist, y + 0.02), soft(0, y + 0.045), sharp(waist, y + 0.02)), 0.013, 0.6)]
    strip = symmetric(
        soft(0, y + 0.01), sharp(waist + 0.008, y - 0.01), sharp(waist + 0.012, y + depth), soft(0, y + depth + 0.025)
    )
    return [Panel(strip, cut.cloth("plain", "trim"), roundness=0.5, tone=0.95, shadow=0.5)]


def _tiers(waist: float, waist_y: float, hem: tuple[float, float]) -> list[Layer]:
    layers: list[Layer] = []
    for share in (0.36, 0.68):
        half, y = waist + (hem[0] - waist) * share, waist_y + (hem[1] - waist_y) * share
        layers.append(Seam(curve(sharp(-half, y), soft(0, y + 0.045), sharp(half, y)), 0.014, 0.6))
        layers.append(Crease(curve(sharp(-half, y + 0.05), soft(0, y + 0.09), sharp(half, y + 0.05)), 0.03, 0.8))
    return layers


def skirt(cut: Cut) -> list[Layer]:
    """A waistband over an A-line, pleated, tiered or pencil skirt."""
    style = cut.pick("a-line", "pleated", "tiered", "pencil", "a-line")
    waist, length = cut.between(0.36, 0.42), cut.between(0.38, 0.75)
    flare = {"a-line": cut.between(0.24, 0.42), "pleated": cut.between(0.22, 0.36)}.get(style, cut.between(0.25, 0.35))
    if style == "pencil":
        length, flare = cut.between(0.65, 0.85), cut.between(0.08, 0.13)
    top, hem = (waist, -0.60), (waist + flare, length)
    hip = 0.07 if style == "pencil" else 0.03
    layers: list[Layer] = [Panel(_flare(top, hem, 0.05, hip), roundness=0.65)]
    if style == "pleated":
        for index in range(1, 14):
            share = 2 * index / 14 - 1
            layers.append(
                Seam(
                    curve(sharp(share * waist, -0.58), sharp(share * hem[0], length + 0.045 * (1 - share**2))),
                    0.010,
                    0.55,
                )
            )
        layers += flutes(top, hem, 14, 0.7)
    elif style == "pencil":
        layers += [
            *drape(cut, waist * 0.8, -0.4, length, 4),
            Seam(curve(sharp(0.2, length - 0.3), sharp(0.22, length + 0.04)), 0.014, 0.7),
        ]
    else:
        layers += flutes(top, hem, cut.pick(7, 9), 0.9)
    if style == "tiered":
        layers += _tiers(waist, -0.60, hem)
    if style == "a-line" and cut.chance(0.4):
        layers += [
            Seam(curve(sharp(0, -0.6), sharp(0, length + 0.04)), 0.010, 0.6),
            *buttons((0.05,), -0.45, length - 0.1, 6, 0.024, "metal"),
        ]
    return layers + _waistband(cut, waist, -0.60, 0.13)


def _waistband(cut: Cut, half: float, y: float, depth: float) -> list[Layer]:
    strip = symmetric(
        soft(0, y - depth + 0.03), sharp(half - 0.01, y - depth), sharp(half + 0.006, y + 0.01), soft(0, y + 0.035)
    )
    layers: list[Layer] = [Panel(strip, cut.cloth("plain", "plain", "trim"), roundness=0.45, tone=0.95, shadow=0.35)]
    if cut.chance(0.5):
        loop = Seam(curve(sharp(half * 0.62, y - depth + 0.01), sharp(half * 0.62, y + 0.03)), 0.028, 0.55)
        layers += both_sides([loop])
    else:
        layers += buttons((0.0,), y - depth / 2 + 0.02, y, 1, 0.026, "metal")
    return layers


def _leg(
    waist: float, rise: float, knee: tuple[float, float], hem: tuple[float, float], inner: tuple[float, float]
) -> Outline:
    """The right leg with its half of the hips: knee and hem as (outer x, y), `inner` as inner x at knee and hem."""
    return closed(
        sharp(-0.005, -0.88), sharp(waist, -0.90), soft(waist + 0.07, -0.60), soft(knee[0], knee[1]), sharp(*hem),
        sharp(inner[1], hem[1] + 0.015), soft(inner[0], knee[1]), sharp(0.015, rise), sharp(-0.005, rise - 0.05),
    )  # fmt: skip


def _fly_and_pockets(waist: float, rise: float) -> list[Layer]:
    fly = curve(sharp(0.075, -0.87), soft(0.07, rise - 0.24), sharp(0.005, rise - 0.13))
    pocket = curve(sharp(waist * 0.62, -0.87), soft(waist * 0.72, -0.75), sharp(waist + 0.045, -0.66))
    layers: list[Layer] = [Seam(fly, 0.008, 0.55, dashed=True), *both_sides([Seam(pocket, 0.011, 0.7)])]
    layers.append(Seam(curve(sharp(0, -0.88), sharp(0.008, rise)), 0.011, 0.6))
    for dy, depth in ((0.0, 0.4), (0.05, 0.3)):
        layers += both_sides(
            [
                Crease(
                    curve(sharp(0.02, rise - 0.03 + dy), soft(0.10, rise - 0.07 + dy), sharp(0.2, rise - 0.14 + dy)),
                    0.03,
                    depth,
                )
            ]
        )
    return layers


def trousers(cut: Cut) -> list[Layer]:
    """Two long legs under a waistband: straight, tapered, wide or flared, with fly, pockets and creases."""
    style = cut.pick("straight", "tapered", "wide", "flared")
    waist, rise, length = cut.between(0.36, 0.40), cut.between(-0.32, -0.24), cut.between(0.86, 0.98)
    spread = cut.between(0.02, 0.08)
    hem_width = {"straight": 0.29, "tapered": 0.21, "wide": 0.42, "flared": 0.40}[style]
    knee_width = {"straight": 0.32, "tapered": 0.29, "wide": 0.39, "flared": 0.28}[style]
    inner = (0.05 + spread * 0.6, 0.05 + spread)
    knee, hem = (inner[0] + knee_width, 0.25), (inner[1] + hem_width, length)
    side: list[Layer] = [Panel(_leg(waist, rise, knee, hem, inner), roundness=0.7, shadow=0.35)]
    if cut.chance(0.5):
        middle = (inner[1] + hem[0]) / 2
        side.append(
            Crease(
                curve(sharp(waist * 0.55, -0.5), soft((inner[0] + knee[0]) / 2, 0.25), sharp(middle, length - 0.03)),
                0.025,
                -0.8,
            )
        )
    if style in ("tapered", "straight") and cut.chance(0.5):
        cuff = closed(
            sharp(hem[0] + 0.008, length - 0.08),
            sharp(hem[0] + 0.008, length + 0.02),
            sharp(inner[1] - 0.008, length + 0.03),
            sharp(inner[1] - 0.008, length - 0.07),
        )
        side.append(Panel(cuff, "plain", roundness=0.5, tone=0.93, shadow=0.5))
    else:
        side.append(Seam(curve(sharp(hem[0], length - 0.05), sharp(inner[1], length - 0.04)), 0.007, 0.5, dashed=True))
    side += [
        Crease(curve(sharp(inner[0], y), soft(inner[0] + 0.08, y + 0.02), sharp(inner[0] + 0.15, y + 0.06)), 0.03, 0.5)
        for y in (0.16, 0.28)
    ]
    return [*both_sides(side), *_fly_and_pockets(waist, rise), *_waistband(cut, waist, -0.88, 0.09)]


def shorts(cut: Cut) -> list[Layer]:
    """Two short, wide legs under a waistband with a fly, a drawstring or turned-up hems."""
    waist, rise, length = cut.between(0.34, 0.39), cut.between(-0.36, -0.28), cut.between(-0.08, 0.12)
    spread = cut.between(0.05, 0.10)
    outer = waist + cut.between(0.14, 0.22)
    inner = (0.03 + spread * 0.5, 0.03 + spread)
    hem = (outer, length)
    leg = _leg(waist, rise, ((waist + outer) / 2 + 0.04, (rise + length) / 2), hem, inner)
    side: list[Layer] = [Panel(leg, roundness=0.7, shadow=0.35)]
    if cut.chance(0.5):
        cuff = closed(
            sharp(outer + 0.012, length - 0.09),
            sharp(outer + 0.015, length + 0.01),
            sharp(inner[1] - 0.01, length + 0.03),
            sharp(inner[1] - 0.01, length - 0.07),
        )
        side.append(Panel(cuff, "print", roundness=0.5, tone=0.95, shadow=0.5))
    else:
        side.append(Seam(curve(sharp(outer, length - 0.05), sharp(inner[1], length - 0.035)), 0.008, 0.5, dashed=True))
    layers: list[Layer] = [*both_sides(side), *_fly_and_pockets(waist, rise), *_waistband(cut, waist, -0.88, 0.10)]
    if cut.chance(0.5):
        layers += [
            Seam(curve(sharp(0, -0.89), soft(lean * 0.6, -0.78), sharp(lean, -0.66)), 0.024, 1.0, cloth="cord")
            for lean in (-0.05, 0.07)
        ]
    return layers
