"""Names of picture formats that are not accepted, told by a file's first bytes: so that a refusal can name them."""

import re
from typing import Final

_LOOKED_AT: Final = 64 * 1024
"""An SVG may have a licence, as a comment, before its first element."""
_PDF_WITHIN: Final = 1_024
"""Readers of PDF accept that much before its header."""

_BEGINNINGS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"%!", "PostScript"),
    (b"\x04%!", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"8BPS", "PSD"),
    (b"gimp xcf", "XCF"),
    (b"\0\0\x01\0", "ICO"),
    (b"\0\0\x02\0", "CUR"),
    (b"icns", "ICNS"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"\x97JB2\r\n\x1a\n", "JBIG2"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"AT&TFORM", "DjVu"),
    (b"qoif", "QOI"),
    (b"FLIF", "FLIF"),
    (b"BPG\xfb", "BPG"),
    (b"DDS ", "DDS"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"/* XPM */", "XPM"),
    (b"SIMPLE  =", "FITS"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"IIU\0", "camera raw"),
)
_BRANDS: Final = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    b"crx ": "camera raw",
}
_NETPBM: Final = re.compile(rb"P[1-7Ff]\s")
_SVG: Final = re.compile(
    r"\s*(?:(?:<\?(?:[^?]|\?(?!>))*\?>|<!--(?:[^-]|-(?!->))*-->)\s*)*(?:<!DOCTYPE\s+svg\b|<(?:[\w.-]+:)?svg[\s/>])",
    re.IGNORECASE,
)


def name_of(data: bytes) -> str | None:
    """The name of a format that is not accepted; None when these bytes begin no picture that is known.

    Args:
        data: a file that begins none of the accepted formats; as much of it as there is.
    """
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return name
    if data[4:8] == b"ftyp":
        return _name_of_brand(data)
    if b"%PDF-" in data[:_PDF_WITHIN]:
        return "PDF"
    if _NETPBM.match(data):
        return "Netpbm"
    if data[40:44] == b" EMF":
        return "EMF"
    if data[128:132] == b"DICM":
        return "DICOM"
    return "SVG" if _SVG.match(_text_of(data[:_LOOKED_AT])) else None


def _name_of_brand(data: bytes) -> str | None:
    """HEIC and AVIF share a container with videos; its first box lists the kinds that a file is compatible with."""
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = (data[8:12], *(data[at : at + 4] for at in range(16, length, 4)))
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)


def _text_of(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
