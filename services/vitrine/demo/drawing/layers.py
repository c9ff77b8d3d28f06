"""What a garment is made of before it is painted: panels of cloth, seams and creases, in drawing order."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from vitrine.demo.drawing.outline import Outline, flipped, moved

# print: the patterned cloth; plain: its ground colour; the others are named for what they dress.
Cloth = Literal["print", "plain", "lining", "trim", "accent", "sole", "metal", "cord"]
Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class Panel:
    """A closed piece. `grain` turns its pattern (degrees), `roundness` 0..1 models it, `shadow` 0..1 falls below it."""

    outline: Outline
    cloth: Cloth = "print"
    grain: float = 0.0
    roundness: float = 0.6
    shadow: float = 0.0
    tone: float = 1.0


@dataclass(frozen=True, slots=True)
class Seam:
    """A crisp line on top of the cloth; `width` in garment units, `ink` 0..1, `dashed` for top stitching."""

    points: Outline
    width: float = 0.010
    ink: float = 0.55
    dashed: bool = False
    cloth: Cloth | None = None


@dataclass(frozen=True, slots=True)
class Crease:
    """A soft fold: a dark trough, with `depth` below 0 a light ridge."""

    points: Outline
    width: float = 0.05
    depth: float = 0.5


Layer = Panel | Seam | Crease


class Cut:
    """The choices that make one cut of a garment, drawn from the design's own stream."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def between(self, low: float, high: float) -> float:
        """A measure, uniform between two bounds."""
        return self._rng.uniform(low, high)

    def pick(self, *options: Choice) -> Choice:
        """One of the options."""
        return self._rng.choice(options)

    def cloth(self, *options: Cloth) -> Cloth:
        """One of the cloths."""
        return self._rng.choice(options)

    def chance(self, share: float) -> bool:
        """True in this share of cuts."""
        return self._rng.random() < share


def mirrored(layers: Sequence[Layer]) -> list[Layer]:
    """The same layers on the other side of the garment."""
    result: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Panel):
            result.append(replace(layer, outline=flipped(layer.outline), grain=-layer.grain))
        else:
            result.append(replace(layer, points=flipped(layer.points)))
    return result


def both_sides(layers: Sequence[Layer]) -> list[Layer]:
    """The layers and their mirror image."""
    return [*layers, *mirrored(layers)]


def placed(layers: Sequence[Layer], dx: float, dy: float, scale: float = 1.0, degrees: float = 0.0) -> list[Layer]:
    """The layers turned and scaled about the origin, then shifted; patterns turn along."""
    result: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Panel):
            outline = moved(layer.outline, dx, dy, scale, degrees)
            result.append(replace(layer, outline=outline, grain=layer.grain + degrees))
        else:
            result.append(replace(layer, points=moved(layer.points, dx, dy, scale, degrees)))
    return result
