"""Which function cuts which garment."""

from collections.abc import Callable

from vitrine.demo.drawing import silhouettes_accessories as accessories
from vitrine.demo.drawing import silhouettes_bottoms as bottoms
from vitrine.demo.drawing import silhouettes_footwear as footwear
from vitrine.demo.drawing import silhouettes_layers as warm
from vitrine.demo.drawing import silhouettes_tops as tops
from vitrine.demo.drawing.layers import Cut, Layer

# Beside each cut, the scale of its prints: a sock carries smaller flowers than a coat.
WARDROBE: dict[str, tuple[Callable[[Cut], list[Layer]], float]] = {
    "t-shirt": (tops.t_shirt, 1.0),
    "blouse": (tops.blouse, 1.0),
    "vest top": (tops.vest_top, 1.0),
    "sweater": (warm.sweater, 1.0),
    "hoodie": (warm.hoodie, 1.0),
    "jacket": (warm.jacket, 0.95),
    "coat": (warm.coat, 0.85),
    "dress": (bottoms.dress, 0.9),
    "skirt": (bottoms.skirt, 1.0),
    "trousers": (bottoms.trousers, 0.85),
    "shorts": (bottoms.shorts, 1.0),
    "hat": (accessories.hat, 0.9),
    "cap": (accessories.cap, 0.95),
    "scarf": (accessories.scarf, 0.8),
    "bag": (accessories.bag, 1.0),
    "sneakers": (footwear.sneakers, 0.75),
    "boots": (footwear.boots, 0.8),
    "socks": (footwear.socks, 0.72),
}
