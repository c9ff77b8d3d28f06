"""The words people use for what the demo shop sells: nouns, colour names, patterns, groups and small talk.

`captions` puts them into sentences. Nothing here knows about sentences or about products.
"""

from dataclasses import dataclass

# Every noun as (singular, plural). Things worn in pairs are asked for in the plural, "pair of" aside.
NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "t-shirt": (("t-shirt", "t-shirts"), ("tee", "tees"), ("t shirt", "t shirts"), ("tshirt", "tshirts")),
    "blouse": (("blouse", "blouses"), ("shirt", "shirts"), ("button-up shirt", "button-up shirts")),
    "vest top": (("vest top", "vest tops"), ("tank top", "tank tops"), ("sleeveless top", "sleeveless tops")),
    "sweater": (("sweater", "sweaters"), ("jumper", "jumpers"), ("pullover", "pullovers")),
    "hoodie": (("hoodie", "hoodies"), ("hooded sweatshirt", "hooded sweatshirts"), ("hoody", "hoodies")),
    "jacket": (("jacket", "jackets"), ("bomber jacket", "bomber jackets"), ("short jacket", "short jackets")),
    "coat": (("coat", "coats"), ("overcoat", "overcoats"), ("long coat", "long coats")),
    "dress": (("dress", "dresses"), ("gown", "gowns"), ("frock", "frocks")),
    "skirt": (("skirt", "skirts"), ("flared skirt", "flared skirts")),
    "trousers": (
        ("trousers", "trousers"),
        ("pants", "pants"),
        ("slacks", "slacks"),
        ("long trousers", "long trousers"),
    ),
    "shorts": (("shorts", "shorts"), ("bermudas", "bermudas"), ("short pants", "short pants")),
    "hat": (("hat", "hats"), ("sun hat", "sun hats"), ("brimmed hat", "brimmed hats")),
    "cap": (("cap", "caps"), ("baseball cap", "baseball caps"), ("peaked cap", "peaked caps")),
    "scarf": (("scarf", "scarves"), ("shawl", "shawls"), ("neck scarf", "neck scarves")),
    "bag": (("bag", "bags"), ("handbag", "handbags"), ("purse", "purses")),
    "sneakers": (("sneakers", "sneakers"), ("trainers", "trainers"), ("tennis shoes", "tennis shoes")),
    "boots": (("boots", "boots"), ("ankle boots", "ankle boots"), ("booties", "booties")),
    "socks": (("socks", "socks"), ("ankle socks", "ankle socks"), ("knee socks", "knee socks")),
}
IN_PAIRS = frozenset({"trousers", "shorts", "sneakers", "boots", "socks"})


@dataclass(frozen=True, slots=True)
class Group:
    """A word for several garments, such as "top"."""

    garments: tuple[str, ...]
    nouns: tuple[tuple[str, str], ...]


GROUPS: dict[str, Group] = {
    "top": Group(("t-shirt", "blouse", "vest top"), (("top", "tops"),)),
    "knitwear": Group(("sweater", "hoodie"), (("knitwear", "knitwear"), ("warm top", "warm tops"))),
    "outerwear": Group(("jacket", "coat"), (("outerwear", "outerwear"), ("outdoor clothing", "outdoor clothing"))),
    "bottom": Group(("skirt", "trousers", "shorts"), (("bottoms", "bottoms"),)),
    "shoes": Group(("sneakers", "boots"), (("shoes", "shoes"), ("footwear", "footwear"))),
    "headwear": Group(("hat", "cap"), (("headwear", "headwear"), ("headgear", "headgear"))),
    "accessory": Group(("hat", "cap", "scarf", "bag"), (("accessory", "accessories"),)),
}

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "black": ("black", "jet black"),
    "white": ("white", "snow white"),
    "grey": ("grey", "gray"),
    "red": ("red", "crimson"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "lemon yellow"),
    "green": ("green",),
    "blue": ("blue",),
    "pink": ("pink", "rose pink"),
    "purple": ("purple", "violet"),
    "brown": ("brown",),
    "beige": ("beige", "sand coloured"),
}
# (colour, the catalogue's colour value name) -> words for that part of the colour only.
SHADE_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("red", "Dark"): ("dark red", "burgundy", "wine red"),
    ("green", "Dark"): ("dark green", "forest green"),
    ("green", "Light"): ("light green", "mint green", "pale green"),
    ("blue", "Dark"): ("dark blue", "navy", "navy blue"),
    ("blue", "Light"): ("light blue", "sky blue", "pale blue"),
    ("pink", "Light"): ("light pink", "pale pink", "baby pink"),
    ("purple", "Light"): ("light purple", "lilac", "lavender"),
    ("brown", "Dark"): ("dark brown", "chocolate brown"),
}


@dataclass(frozen=True, slots=True)
class Print:
    """How a pattern is said: before a noun ("striped"), after "with" ("stripes")."""

    adjectives: tuple[str, ...]
    features: tuple[str, ...]


PRINTS: dict[str, Print] = {
    "solid": Print(("plain", "solid", "unpatterned", "solid colour"), ("no pattern", "no print", "a plain fabric")),
    "floral": Print(
        ("floral", "flowery", "flowered", "flower print", "floral print"),
        ("flowers", "a floral print", "a flower pattern", "little flowers", "blossoms"),
    ),
    "striped": Print(("striped", "stripy", "stripe pattern"), ("stripes", "a striped pattern", "lines")),
    "dotted": Print(
        ("dotted", "polka dot", "spotted", "dotty", "polka-dot"), ("dots", "polka dots", "spots", "a dot pattern")
    ),
    "checked": Print(
        ("checked", "checkered", "plaid", "tartan", "gingham"), ("checks", "a check pattern", "a plaid pattern")
    ),
    "zigzag": Print(("zigzag", "zig-zag", "chevron"), ("zigzags", "a zigzag pattern", "chevrons")),
    "leopard": Print(
        ("leopard", "leopard print", "animal print", "leopard-print"), ("a leopard print", "an animal print")
    ),
    "camouflage": Print(("camouflage", "camo", "camo print"), ("a camouflage print", "a camo pattern", "camouflage")),
    "star": Print(("star print", "starry", "star-print", "star patterned"), ("stars", "a star print", "little stars")),
    "heart": Print(("heart print", "heart-print", "heart patterned"), ("hearts", "a heart print", "little hearts")),
}

# Words around a request that say nothing about the product.
OPENINGS: tuple[str, ...] = (
    "a photo of",
    "a picture of",
    "an image of",
    "show me",
    "i want",
    "i need",
    "looking for",
    "find",
    "buy",
    "shop",
    "search for",
    "product photo:",
    "cheap",
    "nice",
    "cute",
    "new",
    "women's",
    "ladies",
    "pretty",
    "fashionable",
    "best",
)
CLOSINGS: tuple[str, ...] = (
    "for women",
    "for her",
    "online",
    "sale",
    "on sale",
    "please",
    "for summer",
    "for the office",
    "size m",
    "under 50 euro",
    "by h&m",
    "2024",
)
# Dropped into training captions anywhere, so that a word the model has no picture for does not move the answer.
_SMALL_TALK = (
    "the my our your this that one some any very really quite so just also maybe and or to at from on of by is it be "
    "was are has have get got like love would could should good great better perfect simple classic modern casual "
    "elegant vintage trendy stylish comfy cotton linen wool organic soft soft-touch slim loose oversized fit fitted "
    "regular small medium large xl men kids girl boy mum party wedding birthday work beach holiday school evening "
    "night spring autumn winter weekend gift friend today now price quality brand fashion style outfit look store"
)
SMALL_TALK: tuple[str, ...] = tuple(_SMALL_TALK.split())
