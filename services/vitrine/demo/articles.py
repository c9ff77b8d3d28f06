"""The rows of the demo shop's articles.csv, in the H&M catalogue's 25 columns."""

import random

from vitrine.demo.design import Product, shade_of
from vitrine.demo.vocabulary import COLOUR_BY_KEY, GARMENT_BY_KEY, PATTERN_BY_KEY, Family

COLUMNS = (
    "article_id",
    "product_code",
    "prod_name",
    "product_type_no",
    "product_type_name",
    "product_group_name",
    "graphical_appearance_no",
    "graphical_appearance_name",
    "colour_group_code",
    "colour_group_name",
    "perceived_colour_value_id",
    "perceived_colour_value_name",
    "perceived_colour_master_id",
    "perceived_colour_master_name",
    "department_no",
    "department_name",
    "index_code",
    "index_name",
    "index_group_no",
    "index_group_name",
    "section_no",
    "section_name",
    "garment_group_no",
    "garment_group_name",
    "detail_desc",
)

_CLOTHS: dict[Family, tuple[str, ...]] = {
    "top": ("soft cotton jersey", "airy viscose", "a light cotton weave", "crinkled cotton"),
    "knitwear": ("a soft cotton knit", "brushed sweatshirt fabric", "a fine wool blend", "a chunky knit"),
    "outerwear": ("sturdy cotton twill", "a wool blend", "coated cotton", "padded nylon"),
    "dress": ("flowing viscose", "crisp cotton poplin", "light crêpe", "soft jersey"),
    "bottom": ("cotton twill", "a stretchy weave", "washed linen", "soft viscose"),
    "accessory": ("sturdy canvas", "a soft weave", "cotton twill", "felted wool"),
    "footwear": ("canvas", "a soft cotton blend", "imitation suede", "a ribbed knit"),
}
_TOUCHES: dict[Family, tuple[str, ...]] = {
    "top": ("A relaxed fit with a neat neckline", "Gently shaped at the waist", "Cut straight with a stitched hem"),
    "knitwear": ("Ribbed at the cuffs and hem", "Dropped shoulders and long sleeves", "A regular fit for every day"),
    "outerwear": ("Fastens down the front", "Side pockets and a lined body", "Long sleeves and a clean collar"),
    "dress": ("A seam at the waist and a flared skirt", "Unlined, with a softly falling skirt", "Cut to move in"),
    "bottom": ("A fixed waistband and a regular rise", "Pockets at the sides", "Sits at the waist, lightly shaped"),
    "accessory": ("Lightly lined", "A seasonal piece with a plain trim", "One size"),
    "footwear": ("Reinforced at heel and toe", "Comfortable from the first day", "A clean shape with contrast details"),
}
_PRINTS = {
    "solid": "in one plain colour",
    "floral": "with scattered flowers",
    "striped": "with woven stripes",
    "dotted": "with polka dots",
    "checked": "in a checked weave",
    "zigzag": "with rows of zigzag lines",
    "leopard": "with a leopard print",
    "camouflage": "with a camouflage print",
    "star": "with printed stars",
    "heart": "with printed hearts",
}


def article_row(product: Product) -> dict[str, str]:
    """The catalogue row of a product, by column name, in the order of COLUMNS."""
    garment, colour = GARMENT_BY_KEY[product.garment], COLOUR_BY_KEY[product.colour]
    pattern, shade, department = PATTERN_BY_KEY[product.pattern], shade_of(product), garment.department
    values: tuple[str | int, ...] = (
        product.article_id,
        product.product_code,
        product.name,
        garment.product_type_no,
        garment.product_type_name,
        garment.product_group_name,
        pattern.graphical_appearance_no,
        pattern.graphical_appearance_name,
        shade.group_code,
        shade.group_name,
        shade.value_id,
        shade.value_name,
        colour.master_id,
        colour.master_name,
        department.department_no,
        department.department_name,
        department.index_code,
        department.index_name,
        department.index_group_no,
        department.index_group_name,
        department.section_no,
        department.section_name,
        department.garment_group_no,
        department.garment_group_name,
        describe(product),
    )
    return {column: str(value) for column, value in zip(COLUMNS, values, strict=True)}


def describe(product: Product) -> str:
    """The detail_desc of a design: one or two sentences that its siblings share, so they name no colour."""
    garment = GARMENT_BY_KEY[product.garment]
    rng = random.Random(f"{product.seed}/description")
    cloth, touch = rng.choice(_CLOTHS[garment.family]), rng.choice(_TOUCHES[garment.family])
    plural = garment.plural == garment.key or garment.family == "footwear"
    subject = garment.plural.capitalize() if plural else f"A {garment.key}"
    return f"{subject} in {cloth} {_PRINTS[product.pattern]}. {touch}."
