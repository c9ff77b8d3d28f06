"""The closed vocabulary of the demo shop: its garments, colours and patterns, with their catalogue columns.

Everything that talks about a demo product (drawing, captions, queries, the catalogue table) takes its words from here,
so the three attributes that a query can ask for stay the same everywhere. Codes follow the H&M catalogue's numbering.
"""

from dataclasses import dataclass
from typing import Literal

Family = Literal["top", "knitwear", "outerwear", "dress", "bottom", "accessory", "footwear"]


@dataclass(frozen=True, slots=True)
class Department:
    """Where the shop files a garment: the department, index, section and garment group columns."""

    department_no: int
    department_name: str
    index_code: str
    index_name: str
    index_group_no: int
    index_group_name: str
    section_no: int
    section_name: str
    garment_group_no: int
    garment_group_name: str


@dataclass(frozen=True, slots=True)
class Garment:
    """A product type. `popularity` is relative; `price` is the range of ticket prices, in euro."""

    key: str
    plural: str
    family: Family
    product_type_no: int
    product_type_name: str
    product_group_name: str
    department: Department
    popularity: float
    price: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shade:
    """A box of OKLCH space that a person still calls by its colour's name.

    `lightness` is 0..1, `chroma` 0..0.4, `hue` in degrees; each a (low, high) pair. The rest are catalogue columns.
    """

    lightness: tuple[float, float]
    chroma: tuple[float, float]
    hue: tuple[float, float]
    group_code: int
    group_name: str
    value_id: int
    value_name: str


@dataclass(frozen=True, slots=True)
class Colour:
    """A named ground colour and the shades it comes in."""

    key: str
    master_id: int
    master_name: str
    popularity: float
    shades: tuple[Shade, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is printed on the cloth. `adjective` is how a product name says it, empty for plain cloth."""

    key: str
    adjective: str
    graphical_appearance_no: int
    graphical_appearance_name: str
    popularity: float


def _ladies(
    department_no: int, department: str, section_no: int, section: str, group_no: int, group: str
) -> Department:
    return Department(
        department_no, department, "A", "Ladieswear", 1, "Ladieswear", section_no, section, group_no, group
    )


def _accessories(
    department_no: int, department: str, section_no: int, section: str, group: tuple[int, str]
) -> Department:
    return Department(
        department_no, department, "C", "Ladies Accessories", 1, "Ladieswear", section_no, section, group[0], group[1]
    )


def _divided(department_no: int, department: str, group_no: int, group: str) -> Department:
    return Department(
        department_no, department, "D", "Divided", 2, "Divided", 53, "Divided Collection", group_no, group
    )


_UPPER, _LOWER, _FULL = "Garment Upper body", "Garment Lower body", "Garment Full body"
_BASICS = _ladies(1676, "Jersey Basic", 16, "Womens Everyday Basics", 1002, "Jersey Basic")
_BLOUSES = _ladies(1522, "Blouse", 15, "Womens Everyday Collection", 1010, "Blouses")
_KNIT = _ladies(1626, "Knitwear", 15, "Womens Everyday Collection", 1003, "Knitwear")
_SWEATS = _divided(1717, "Jersey fancy", 1005, "Jersey Fancy")
_OUTDOOR = _ladies(1201, "Outwear", 15, "Womens Everyday Collection", 1007, "Outdoor")
_JACKETS = _divided(1338, "Outdoor/Blazers DS", 1007, "Outdoor")
_DRESSES = _ladies(1322, "Dress", 15, "Womens Everyday Collection", 1013, "Dresses Ladies")
_SKIRTS = _ladies(1422, "Skirt", 15, "Womens Everyday Collection", 1012, "Skirts")
_TROUSERS = _ladies(1722, "Trouser", 15, "Womens Everyday Collection", 1009, "Trousers")
_SHORTS = _ladies(7912, "Shorts", 15, "Womens Everyday Collection", 1025, "Shorts")
_ACCESSORIES = (1019, "Accessories")
_HEADWEAR = _accessories(3529, "Hats", 65, "Womens Big accessories", _ACCESSORIES)
_SCARVES = _accessories(3509, "Scarves", 65, "Womens Big accessories", _ACCESSORIES)
_BAGS = _accessories(3519, "Bags", 65, "Womens Big accessories", _ACCESSORIES)
_SHOES = _accessories(3929, "Shoes", 64, "Womens Shoes", (1020, "Shoes"))
_SOCKS = Department(
    3608,
    "Socks",
    "B",
    "Lingeries/Tights",
    1,
    "Ladieswear",
    62,
    "Womens Nightwear, Socks & Tigh",
    1021,
    "Socks and Tights",
)

GARMENTS: tuple[Garment, ...] = (
    Garment("t-shirt", "t-shirts", "top", 255, "T-shirt", _UPPER, _BASICS, 1.5, (7.99, 19.99)),
    Garment("blouse", "blouses", "top", 258, "Blouse", _UPPER, _BLOUSES, 1.4, (19.99, 39.99)),
    Garment("vest top", "vest tops", "top", 253, "Vest top", _UPPER, _BASICS, 1.2, (4.99, 14.99)),
    Garment("sweater", "sweaters", "knitwear", 252, "Sweater", _UPPER, _KNIT, 1.3, (19.99, 49.99)),
    Garment("hoodie", "hoodies", "knitwear", 308, "Hoodie", _UPPER, _SWEATS, 1.1, (24.99, 44.99)),
    Garment("jacket", "jackets", "outerwear", 262, "Jacket", _UPPER, _JACKETS, 1.1, (39.99, 89.99)),
    Garment("coat", "coats", "outerwear", 263, "Coat", _UPPER, _OUTDOOR, 0.9, (69.99, 149.99)),
    Garment("dress", "dresses", "dress", 265, "Dress", _FULL, _DRESSES, 1.8, (19.99, 69.99)),
    Garment("skirt", "skirts", "bottom", 275, "Skirt", _LOWER, _SKIRTS, 1.1, (14.99, 39.99)),
    Garment("trousers", "trousers", "bottom", 272, "Trousers", _LOWER, _TROUSERS, 1.4, (19.99, 59.99)),
    Garment("shorts", "shorts", "bottom", 274, "Shorts", _LOWER, _SHORTS, 0.9, (12.99, 29.99)),
    Garment("hat", "hats", "accessory", 72, "Hat/brim", "Accessories", _HEADWEAR, 0.6, (14.99, 29.99)),
    Garment("cap", "caps", "accessory", 69, "Cap/peaked", "Accessories", _HEADWEAR, 0.6, (9.99, 19.99)),
    Garment("scarf", "scarves", "accessory", 80, "Scarf", "Accessories", _SCARVES, 0.7, (9.99, 29.99)),
    Garment("bag", "bags", "accessory", 66, "Bag", "Accessories", _BAGS, 0.9, (14.99, 49.99)),
    Garment("sneakers", "sneakers", "footwear", 94, "Sneakers", "Shoes", _SHOES, 0.8, (24.99, 59.99)),
    Garment("boots", "boots", "footwear", 87, "Boots", "Shoes", _SHOES, 0.7, (39.99, 99.99)),
    Garment("socks", "socks", "footwear", 302, "Socks", "Socks & Tights", _SOCKS, 0.6, (2.99, 9.99)),
)

# Boxes keep at least 0.06 in OKLab between two colours (tests/unit/demo/test_vocabulary.py measures it): folds and
# shadows move the lightness of a drawn pixel, so neighbours differ in hue or chroma wherever lightness could meet.
COLOURS: tuple[Colour, ...] = (
    Colour("black", 5, "Black", 1.8, (Shade((0.15, 0.22), (0.0, 0.006), (0, 360), 9, "Black", 4, "Dark"),)),
    Colour("white", 9, "White", 1.6, (Shade((0.955, 0.985), (0.0, 0.008), (0, 360), 10, "White", 3, "Light"),)),
    Colour("grey", 12, "Grey", 1.1, (Shade((0.55, 0.67), (0.0, 0.008), (0, 360), 7, "Grey", 1, "Dusty Light"),)),
    Colour(
        "red",
        18,
        "Red",
        1.1,
        (
            Shade((0.53, 0.60), (0.19, 0.22), (24, 30), 42, "Red", 5, "Bright"),
            Shade((0.44, 0.48), (0.16, 0.18), (22, 28), 43, "Dark Red", 4, "Dark"),
        ),
    ),
    Colour("orange", 3, "Orange", 0.7, (Shade((0.70, 0.76), (0.165, 0.185), (52, 60), 32, "Orange", 5, "Bright"),)),
    Colour("yellow", 8, "Yellow", 0.8, (Shade((0.86, 0.91), (0.15, 0.175), (92, 100), 22, "Yellow", 5, "Bright"),)),
    Colour(
        "green",
        19,
        "Green",
        0.9,
        (
            Shade((0.55, 0.65), (0.14, 0.17), (143, 150), 92, "Green", 7, "Medium"),
            Shade((0.40, 0.46), (0.09, 0.11), (147, 157), 93, "Dark Green", 4, "Dark"),
            Shade((0.79, 0.84), (0.11, 0.14), (140, 148), 91, "Light Green", 3, "Light"),
        ),
    ),
    Colour(
        "blue",
        2,
        "Blue",
        1.5,
        (
            Shade((0.50, 0.58), (0.17, 0.20), (255, 263), 72, "Blue", 5, "Bright"),
            Shade((0.35, 0.41), (0.13, 0.15), (259, 266), 73, "Dark Blue", 4, "Dark"),
            Shade((0.74, 0.80), (0.09, 0.11), (238, 248), 71, "Light Blue", 3, "Light"),
        ),
    ),
    Colour(
        "pink",
        4,
        "Pink",
        1.1,
        (
            Shade((0.80, 0.85), (0.09, 0.11), (0, 8), 51, "Light Pink", 3, "Light"),
            Shade((0.68, 0.73), (0.18, 0.20), (352, 360), 52, "Pink", 5, "Bright"),
        ),
    ),
    Colour(
        "purple",
        6,
        "Lilac Purple",
        0.8,
        (
            Shade((0.48, 0.56), (0.17, 0.20), (302, 310), 62, "Purple", 7, "Medium"),
            Shade((0.73, 0.78), (0.10, 0.12), (303, 310), 61, "Light Purple", 3, "Light"),
        ),
    ),
    Colour(
        "brown",
        13,
        "Brown",
        0.8,
        (
            Shade((0.38, 0.46), (0.065, 0.085), (48, 60), 17, "Yellowish Brown", 4, "Dark"),
            Shade((0.49, 0.54), (0.08, 0.095), (53, 62), 17, "Yellowish Brown", 2, "Medium Dusty"),
        ),
    ),
    Colour(
        "beige",
        11,
        "Beige",
        1.0,
        (
            Shade((0.85, 0.89), (0.035, 0.050), (75, 85), 12, "Light Beige", 1, "Dusty Light"),
            Shade((0.79, 0.82), (0.050, 0.062), (74, 82), 13, "Beige", 2, "Medium Dusty"),
        ),
    ),
)

_ALL_OVER = (1010001, "All over pattern")
PATTERNS: tuple[Pattern, ...] = (
    Pattern("solid", "", 1010016, "Solid", 2.0),
    Pattern("floral", "floral", *_ALL_OVER, 1.7),
    Pattern("striped", "striped", 1010017, "Stripe", 1.5),
    Pattern("dotted", "dotted", 1010006, "Dot", 1.1),
    Pattern("checked", "checked", 1010004, "Check", 1.2),
    Pattern("zigzag", "zigzag", *_ALL_OVER, 0.7),
    Pattern("leopard", "leopard", *_ALL_OVER, 0.9),
    Pattern("camouflage", "camouflage", *_ALL_OVER, 0.7),
    Pattern("star", "star-print", *_ALL_OVER, 0.7),
    Pattern("heart", "heart-print", *_ALL_OVER, 0.7),
)

GARMENT_BY_KEY: dict[str, Garment] = {garment.key: garment for garment in GARMENTS}
COLOUR_BY_KEY: dict[str, Colour] = {colour.key: colour for colour in COLOURS}
PATTERN_BY_KEY: dict[str, Pattern] = {pattern.key: pattern for pattern in PATTERNS}
