"""Draws the demo shop's products as studio pictures."""

from vitrine.demo.drawing.picture import draw

__all__ = ["draw"]
