"""Kubernetes' quantities, as far as the chart uses them."""

from typing import Final

_MEBIBYTES: Final = {"Mi": 1, "Gi": 1024}


def mebibytes(quantity: str) -> int:
    """`512Mi` or `2Gi`.

    Raises:
        KeyError: another unit.
    """
    return int(quantity[:-2]) * _MEBIBYTES[quantity[-2:]]


def cpus(quantity: str | int) -> float:
    """`2` or `500m`, in cores."""
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
