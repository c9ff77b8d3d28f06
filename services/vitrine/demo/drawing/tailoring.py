"""Parts that several garments share: sleeves, necklines, ribs, buttons, zips, folds."""

import math
from dataclasses import dataclass

import numpy as np

from vitrine.demo.drawing.layers import Cloth, Crease, Cut, Layer, Panel, Seam
from vitrine.demo.drawing.outline import Knot, Outline, band, closed, curve, ellipse, sharp, soft, symmetric

TOP = -0.74  # height of the neck points of every upper-body garment


@dataclass(frozen=True, slots=True)
class Neck:
    """A neckline: half its width, its depth in front, and whether it is pointed."""

    half: float
    depth: float
    pointed: bool = False

    def knots(self) -> list[Knot]:
        """The right half of the front neckline, from the middle up to the neck point."""
        low = TOP + self.depth
        if self.pointed:
            return [sharp(0, low), soft(self.half * 0.55, TOP + self.depth * 0.42), sharp(self.half, TOP)]
        return [soft(0, low), soft(self.half * 0.62, TOP + self.depth * 0.78), sharp(self.half, TOP)]

    def line(self, drop: float = 0.0) -> Outline:
        """The whole front neckline from left to right, lowered by `drop`."""
        right = [Knot(knot.x, knot.y + drop, knot.sharp) for knot in self.knots()]
        left = [Knot(-knot.x, knot.y, knot.sharp) for knot in reversed(right[1:])]
        return curve(*left, *right)

    def inside(self) -> Panel:
        """The back of the garment that shows through the neck opening."""
        w = self.half + 0.01
        back = [soft(0, TOP + 0.035), soft(w * 0.6, TOP + 0.02), sharp(w, TOP - 0.005)]
        front = [soft(w * 0.75, TOP + self.depth * 0.75), soft(0, TOP + self.depth + 0.05)]
        return Panel(symmetric(*back, *front), "lining", roundness=0.3)


def neck_rib(neck: Neck, width: float, cloth: Cloth = "plain") -> list[Layer]:
    """A ribbed band along the neckline, with its seam."""
    ring = band(neck.line(width * 0.35), width)
    return [Panel(ring, cloth, roundness=0.35, tone=0.97), Seam(neck.line(width * 0.85), 0.008, 0.5)]


@dataclass(frozen=True, slots=True)
class Torso:
    """The right side of a body piece: shoulder tip, armpit, waist and hem (x, y pairs)."""

    shoulder: tuple[float, float]
    armpit: tuple[float, float]
    waist: tuple[float, float]
    hem: tuple[float, float]
    hem_dip: float = 0.02

    def outline(self, neck: Neck) -> Outline:
        """The whole body piece below a neckline."""
        (sx, sy), (ax, ay), (wx, wy), (hx, hy) = self.shoulder, self.armpit, self.waist, self.hem
        return symmetric(
            *neck.knots(),
            sharp(sx, sy),
            soft(sx - 0.035, (sy + ay) / 2 + 0.02),
            sharp(ax, ay),
            soft((ax + wx) / 2 - 0.012, (ay + wy) / 2),
            soft(wx, wy),
            sharp(hx, hy),
            soft(hx * 0.5, hy + self.hem_dip * 0.8),
            soft(0, hy + self.hem_dip),
        )

    def armhole(self) -> Outline:
        """The right armhole seam."""
        (sx, sy), (ax, ay) = self.shoulder, self.armpit
        return curve(sharp(sx, sy), soft(sx - 0.035, (sy + ay) / 2 + 0.02), sharp(ax, ay))


@dataclass(frozen=True, slots=True)
class Sleeve:
    """A right sleeve hanging from a torso: angle from straight down (degrees), length, cuff width, fullness 0..1."""

    angle: float
    length: float
    cuff: float
    puff: float = 0.0

    def _frame(self, torso: Torso) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        shoulder = np.array(torso.shoulder) + np.array([-0.05, 0.012])
        armpit = np.array(torso.armpit) + np.array([-0.05, 0.0])
        angle = math.radians(self.angle)
        along = np.array([math.sin(angle), math.cos(angle)])
        across = np.array([math.cos(angle), -math.sin(angle)])  # outwards
        return shoulder, armpit, along, across

    def end(self, torso: Torso) -> tuple[np.ndarray, np.ndarray]:
        """The outer and the inner corner of the cuff."""
        shoulder, armpit, along, across = self._frame(torso)
        outer_start = shoulder + np.array([0.07, 0.03])
        middle = 0.5 * (outer_start + armpit) + along * self.length
        return middle + across * self.cuff / 2, middle - across * self.cuff / 2

    def outline(self, torso: Torso) -> Outline:
        """The sleeve's outline; its top lies under the torso."""
        shoulder, armpit, _, across = self._frame(torso)
        outer, inner = self.end(torso)
        crown = shoulder + np.array([0.09, 0.045])
        swell = across * (0.02 + 0.16 * self.puff)
        knots = [
            sharp(*shoulder),
            soft(*crown),
            soft(*(crown * 0.55 + outer * 0.45 + swell * 0.8)),
            soft(*(crown * 0.2 + outer * 0.8 + swell)),
            sharp(*outer),
            sharp(*inner),
            soft(*(inner * 0.8 + armpit * 0.2 - swell * 0.9)),
            soft(*(inner * 0.4 + armpit * 0.6 - swell * 0.4)),
            sharp(*armpit),
        ]
        return closed(*knots)

    def cuff_panel(self, torso: Torso, depth: float, cloth: Cloth = "plain", grip: float = 0.94) -> Panel:
        """A band of the given depth at the sleeve's end; `grip` below 1 makes it narrower than the sleeve."""
        _, _, along, _ = self._frame(torso)
        outer, inner = self.end(torso)
        middle = (outer + inner) / 2
        a, b = middle + (outer - middle) * 1.02, middle + (inner - middle) * 1.02
        c, d = middle + (inner - middle) * grip + along * depth, middle + (outer - middle) * grip + along * depth
        return Panel(closed(sharp(*a), sharp(*b), sharp(*c), sharp(*d)), cloth, roundness=0.5, tone=0.96)

    def layers(self, torso: Torso, cloth: Cloth = "print") -> list[Layer]:
        """The sleeve with its hem and the folds at elbow and armpit."""
        outer, inner = self.end(torso)
        _, armpit, along, across = self._frame(torso)
        layers: list[Layer] = [Panel(self.outline(torso), cloth, grain=-self.angle, roundness=0.75)]
        hem = curve(sharp(*(outer - along * 0.045)), sharp(*(inner - along * 0.045)))
        layers.append(Seam(hem, 0.007, 0.45, dashed=True))
        if self.length > 0.55:
            elbow = armpit + along * self.length * 0.42
            for step in (0.0, 0.10):
                start, end = elbow + along * step, elbow + along * (step + 0.05) + across * 0.13
                layers.append(Crease(curve(sharp(*start), soft(*((start + end) / 2)), sharp(*end)), 0.03, 0.5))
        return layers


def ribs(left: tuple[float, float], right: tuple[float, float], down: tuple[float, float], count: int) -> list[Layer]:
    """Fine upright lines of knitted ribbing between two corners, each `down` long."""
    a, b, fall = np.array(left), np.array(right), np.array(down)
    layers: list[Layer] = []
    for index in range(1, count):
        start = a + (b - a) * index / count
        layers.append(Seam(np.stack([start, start + fall]), 0.007, 0.35))
    return layers


def buttons(xs: tuple[float, ...], top: float, bottom: float, count: int, radius: float, cloth: Cloth) -> list[Layer]:
    """Columns of evenly spaced buttons."""
    layers: list[Layer] = []
    for x in xs:
        for index in range(count):
            y = top + (bottom - top) * index / max(count - 1, 1)
            layers.append(Panel(ellipse(x, y, radius, radius, 16), cloth, roundness=0.8, shadow=0.35))
    return layers


def zip_line(x: float, top: float, bottom: float, width: float = 0.035) -> list[Layer]:
    """A metal zip with its tapes and pull."""
    line = np.array([[x, top], [x, (top + bottom) / 2], [x, bottom]])
    pull = ellipse(x, top + 0.07, 0.018, 0.04, 14)
    return [
        Seam(line, width * 1.8, 0.9, cloth="lining"),
        Seam(line, width, 1.0, cloth="metal"),
        Seam(line, width * 0.35, 0.7),
        Panel(pull, "metal", roundness=0.9, shadow=0.5),
    ]


def drape(cut: Cut, half: float, top: float, bottom: float, count: int = 4) -> list[Layer]:
    """Soft upright folds over a body piece, each a shallow S."""
    layers: list[Layer] = []
    for _ in range(count):
        x = cut.between(-half, half)
        y = cut.between(top, top + (bottom - top) * 0.4)
        end = cut.between(y + (bottom - y) * 0.65, bottom)
        sway = cut.between(-0.07, 0.07)
        fold = curve(sharp(x, y), soft(x + sway, (y + end) / 2), sharp(x + sway * 0.4, end))
        layers.append(Crease(fold, cut.between(0.025, 0.045), cut.between(0.15, 0.38) * cut.pick(1, 1, -1)))
    return layers


def flutes(top: tuple[float, float], bottom: tuple[float, float], count: int, depth: float) -> list[Layer]:
    """Folds fanning out from a waist: (half width, y) at the top and at the hem."""
    layers: list[Layer] = []
    for index in range(count):
        share = 2 * (index + 0.5) / count - 1
        start, end = (share * top[0] * 0.92, top[1] + 0.02), (share * bottom[0] * 0.95, bottom[1] - 0.02)
        middle = (start[0] * 0.6 + end[0] * 0.4, start[1] * 0.5 + end[1] * 0.5)
        sign = 1 if index % 2 else -0.6
        layers.append(Crease(curve(sharp(*start), soft(*middle), sharp(*end)), 0.045, depth * sign))
    return layers


def hem_stitch(half: float, y: float, dip: float) -> Seam:
    """The stitched hem of a body piece."""
    return Seam(curve(sharp(-half, y), soft(0, y + dip), sharp(half, y)), 0.007, 0.45, dashed=True)
