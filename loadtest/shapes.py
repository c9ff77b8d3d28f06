"""How the arrival rate goes over time: the five shapes of load, each a row of stages of constant rate."""

from dataclasses import dataclass
from typing import Final

WARM_UP_S: Final = 3.0
MOST_SECONDS: Final = 24 * 3600.0
MOST_RATE: Final = 20_000.0
_STEPS: Final = 12
_STEP_FACTOR: Final = 1.3


class LoadRefused(Exception):
    """What was asked for is no load test that this program runs; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of constant arrival rate, in requests a second.

    What is not `measured` is left out of thresholds and figures; Locust's own tables have it.
    """

    name: str
    seconds: float
    rate: float
    measured: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A stage of a shape: its share of the time, and its rate as a multiple of the shape's."""

    name: str
    share: float
    factor: float


@dataclass(frozen=True, slots=True)
class Shape:
    """A course of load.

    `rate` (requests a second), `seconds` (the warm-up not counted) and `in_flight` (requests under way at once) hold
    unless the caller says otherwise. A shape that runs `until_saturated` ends with the first stage that the server
    could not follow.
    """

    name: str
    rate: float
    seconds: float
    in_flight: int
    parts: tuple[Part, ...]
    until_saturated: bool = False

    def stages(self, rate: float | None = None, seconds: float | None = None) -> tuple[Stage, ...]:
        """A warm-up at the first stage's rate, then the shape's stages.

        Raises LoadRefused: more than this program offers, or less than anything.
        """
        rate, seconds = self.rate if rate is None else rate, self.seconds if seconds is None else seconds
        if not 0 < seconds <= MOST_SECONDS:
            raise LoadRefused(f"A load test takes more than 0 and at most {MOST_SECONDS:,.0f} s, not {seconds:g} s.")
        highest = rate * max(part.factor for part in self.parts)
        if not (rate > 0 and highest <= MOST_RATE):
            raise LoadRefused(
                f"Rates are above 0 and at most {MOST_RATE:,.0f} requests/s; {self.name} at {rate:g} has {highest:g}."
            )
        stages = (Stage(part.name, seconds * part.share, rate * part.factor) for part in self.parts)
        return (Stage("warm-up", WARM_UP_S, rate * self.parts[0].factor, measured=False), *stages)


def _even(count: int, name: str, factor: float = 1.0) -> tuple[Part, ...]:
    """Slices of one rate, so that a drift over time can be seen."""
    return tuple(Part(f"{name} {number}", 1 / count, factor) for number in range(1, count + 1))


SHAPES: Final = {
    shape.name: shape
    for shape in (
        # Does everything work, and does latency stay flat while the rate is doubled twice?
        Shape("smoke", 12.0, 24.0, 64, tuple(Part(f"x{f:g}", 1 / 3, f) for f in (0.25, 0.5, 1.0))),
        # A day's usual traffic.
        Shape("average", 20.0, 300.0, 128, _even(5, "slice")),
        # From little to more than there is room for; where is the knee?
        Shape(
            "step",
            10.0,
            _STEPS * 15.0,
            512,
            tuple(Part(f"step {n + 1}", 1 / _STEPS, _STEP_FACTOR**n) for n in range(_STEPS)),
            until_saturated=True,
        ),
        # A campaign goes out; what happens then, and how long afterwards?
        Shape(
            "spike",
            10.0,
            120.0,
            512,
            (Part("before", 0.3, 1), Part("spike", 0.2, 8), Part("recovering", 0.1, 1), Part("after", 0.4, 1)),
        ),
        # Does anything grow with time?
        Shape("soak", 20.0, 3600.0, 128, _even(12, "slice")),
    )
}
