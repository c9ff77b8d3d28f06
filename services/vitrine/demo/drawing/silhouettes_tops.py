"""Light upper-body garments: t-shirt, blouse, vest top."""

from vitrine.demo.drawing.layers import Cut, Layer, Panel, Seam, both_sides
from vitrine.demo.drawing.outline import closed, curve, ellipse, sharp, soft, symmetric
from vitrine.demo.drawing.tailoring import (
    TOP,
    Neck,
    Sleeve,
    Torso,
    buttons,
    drape,
    flutes,
    hem_stitch,
    neck_rib,
)


def t_shirt(cut: Cut) -> list[Layer]:
    """Short sleeves, ribbed round or V neck, straight body; fitted to boxy, sometimes with a breast pocket."""
    width, length = cut.between(0.43, 0.55), cut.between(0.48, 0.74)
    neck = cut.pick(Neck(0.19, 0.14), Neck(0.21, 0.19), Neck(0.19, 0.30, pointed=True), Neck(0.26, 0.10))
    torso = Torso(
        (width + 0.02, TOP + 0.12), (width, -0.27), (width - cut.between(-0.01, 0.05), 0.2), (width + 0.01, length)
    )
    sleeve = Sleeve(cut.between(28, 42), cut.between(0.22, 0.36), cut.between(0.30, 0.36))
    layers: list[Layer] = [neck.inside(), *both_sides(sleeve.layers(torso))]
    layers.append(Panel(torso.outline(neck), roundness=0.55, shadow=0.5))
    layers += both_sides([Seam(torso.armhole(), 0.009, 0.5)])
    layers += neck_rib(neck, 0.055, cut.cloth("plain", "plain", "trim"))
    layers += [hem_stitch(width, length - 0.05, 0.02), *drape(cut, width * 0.8, -0.3, length, 5)]
    if cut.chance(0.3):
        pocket = closed(sharp(0.12, -0.22), sharp(0.34, -0.22), sharp(0.34, 0.0), soft(0.23, 0.04), sharp(0.12, 0.0))
        layers += [Panel(pocket, roundness=0.3, shadow=0.3), Seam(curve(sharp(0.12, -0.19), sharp(0.34, -0.19)))]
    return layers


def blouse(cut: Cut) -> list[Layer]:
    """Full gathered sleeves with cuffs, nipped waist and flared hem; a bow, round collar or V with buttons."""
    width, length, waist_y = cut.between(0.40, 0.46), cut.between(0.50, 0.66), cut.between(0.12, 0.22)
    flare = cut.between(0.10, 0.20)
    style = cut.pick("bow", "collar", "v", "collar")
    neck = Neck(0.20, 0.32, pointed=True) if style == "v" else Neck(0.19, 0.13)
    torso = Torso((width + 0.01, TOP + 0.11), (width, -0.26), (width - 0.06, waist_y), (width + flare, length), 0.05)
    long_sleeve = cut.chance(0.65)
    sleeve = (
        Sleeve(cut.between(20, 30), cut.between(0.68, 0.82), 0.22, cut.between(0.75, 1.0))
        if long_sleeve
        else Sleeve(cut.between(30, 40), cut.between(0.30, 0.38), 0.27, 1.0)
    )
    arm: list[Layer] = [
        *sleeve.layers(torso)[:1],
        sleeve.cuff_panel(torso, 0.07 if long_sleeve else 0.05, "print", 0.95),
    ]
    layers: list[Layer] = [neck.inside(), *both_sides(arm)]
    layers.append(Panel(torso.outline(neck), roundness=0.55, shadow=0.5))
    layers += both_sides([Seam(torso.armhole(), 0.009, 0.5)])
    waist = width - 0.06
    layers.append(Seam(curve(sharp(-waist, waist_y), soft(0, waist_y + 0.03), sharp(waist, waist_y)), 0.014, 0.5))
    layers += flutes((waist, waist_y), (width + flare, length), 9, 0.7)
    layers += drape(cut, width * 0.7, -0.4, waist_y, 3)
    layers += _blouse_front(style, neck, waist_y, cut)
    return layers


def _blouse_front(style: str, neck: Neck, waist_y: float, cut: Cut) -> list[Layer]:
    low = TOP + neck.depth
    placket: list[Layer] = [Seam(curve(sharp(-0.035, low), sharp(-0.035, waist_y)), 0.007, 0.45)]
    placket.append(Seam(curve(sharp(0.035, low), sharp(0.035, waist_y)), 0.007, 0.45))
    placket += buttons((0.0,), low + 0.07, waist_y - 0.06, 5, 0.017, "sole")
    if style == "v":
        return placket
    if style == "collar":
        wing = closed(
            sharp(0.0, low + 0.005), soft(0.10, low - 0.05), sharp(0.19, TOP - 0.01), soft(0.29, TOP + 0.10),
            soft(0.20, low + 0.09), soft(0.06, low + 0.10),
        )  # fmt: skip
        return [*placket, *both_sides([Panel(wing, cut.cloth("plain", "trim"), roundness=0.5, shadow=0.5)])]
    loop = closed(sharp(0.0, low), soft(0.13, low - 0.08), soft(0.22, low - 0.01), soft(0.13, low + 0.06))
    tail = closed(sharp(0.0, low), soft(0.07, low + 0.15), sharp(0.15, low + 0.34), sharp(0.05, low + 0.36))
    knot = Panel(ellipse(0, low, 0.035, 0.035), "plain", roundness=0.8, shadow=0.5)
    ties = both_sides(
        [Panel(tail, "plain", roundness=0.6, shadow=0.5), Panel(loop, "plain", roundness=0.9, shadow=0.5)]
    )
    return [*neck_rib(neck, 0.05), *ties, knot]


def vest_top(cut: Cut) -> list[Layer]:
    """No sleeves: shoulder straps, deep round or square neck and cut-in armholes."""
    width, length = cut.between(0.40, 0.47), cut.between(0.46, 0.70)
    strap, spread = cut.between(0.07, 0.13), cut.between(0.22, 0.27)
    scoop, arm = cut.between(0.26, 0.42), cut.between(-0.30, -0.20)
    flare = cut.between(-0.01, 0.06)
    front = (
        [soft(0, TOP + scoop), soft(spread * 0.7, TOP + scoop * 0.78), sharp(spread, TOP - 0.05)]
        if cut.chance(0.7)
        else [soft(0, TOP + scoop), sharp(spread * 0.95, TOP + scoop * 0.97), sharp(spread, TOP - 0.05)]
    )
    side = [
        sharp(spread + strap, TOP - 0.05), soft(spread + strap + 0.01, -0.55), soft(width - 0.08, arm - 0.12),
        sharp(width, arm), soft(width - 0.035, 0.08), sharp(width + flare, length),
        soft(width * 0.5, length + 0.025), soft(0, length + 0.03),
    ]  # fmt: skip
    back = symmetric(
        soft(0, TOP + scoop * 0.45), soft(spread * 0.75, TOP + scoop * 0.35), sharp(spread, TOP - 0.05),
        sharp(spread + strap, TOP - 0.05), soft(width - 0.10, arm - 0.08), sharp(width - 0.05, arm + 0.1),
        soft(0, arm + 0.2),
    )  # fmt: skip
    layers: list[Layer] = [
        Panel(back, "lining", roundness=0.3),
        Panel(symmetric(*front, *side), roundness=0.6, shadow=0.4),
    ]
    edge = cut.cloth("plain", "trim")
    neckline = curve(*[k._replace(x=-k.x) for k in reversed(front[1:])], *front)
    armhole = curve(*side[:4])
    layers.append(Seam(neckline, 0.03, 1.0, cloth=edge))
    layers += both_sides([Seam(armhole, 0.03, 1.0, cloth=edge)])
    layers += [hem_stitch(width + flare * 0.9, length - 0.05, 0.025), *drape(cut, width * 0.75, -0.25, length, 5)]
    return layers
