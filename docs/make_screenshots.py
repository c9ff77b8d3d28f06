"""Takes the pictures of the page that the documents show, in a real Chromium, of a running service.

    python docs/make_screenshots.py http://127.0.0.1:8080 docs/images

Writes page.png (a desktop), page-start.png and page-phone.png. Needs selenium, chromium and chromedriver.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

DEADLINE_S = 20.0

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

# Every picture that is in the window has arrived, and nothing is still being searched.
SETTLED = """
const busy = document.querySelector('[aria-busy="true"]');
const visible = [...document.images].filter((image) => image.src && image.getBoundingClientRect().top < innerHeight);
return !busy && visible.length > 1 && visible.every((image) => image.complete && image.naturalWidth > 0);
"""


@dataclass(frozen=True)
class Shot:
    """One picture: its file, what the page is asked, and the window it is seen in."""

    file: str
    query: str
    width: int
    height: int

    @property
    def is_phone(self) -> bool:
        return self.width < 600


def shots(query: str) -> tuple[Shot, ...]:
    return (
        Shot("page.png", query, 1280, 900),
        Shot("page-start.png", "", 1280, 800),
        Shot("page-phone.png", query, 360, 740),
    )


@contextmanager
def browser(chromium: str, chromedriver: str) -> Iterator[webdriver.Chrome]:
    """A Chromium with an empty profile, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="vitrine-screenshots-") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
        try:
            yield driver
        finally:
            driver.quit()


def take(driver: webdriver.Chrome, base: str, shot: Shot, folder: Path) -> Path:
    metrics = {
        "width": shot.width,
        "height": shot.height,
        "deviceScaleFactor": 2 if shot.is_phone else 1,
        "mobile": shot.is_phone,
    }
    scheme = {"name": "prefers-color-scheme", "value": "light"}
    motion = {"name": "prefers-reduced-motion", "value": "reduce"}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, motion]})
    driver.get(f"{base}/?{urlencode({'q': shot.query})}" if shot.query else f"{base}/")
    WebDriverWait(driver, DEADLINE_S).until(lambda there: there.execute_script(SETTLED), f"{shot.file}: not settled")
    target = folder / shot.file
    driver.save_screenshot(str(target))
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="address of the running service, such as http://127.0.0.1:8080")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--query", default="floral top")
    arguments = parser.parse_args()
    chromium, chromedriver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        print("chromium and chromedriver are needed: apt-get install chromium chromium-driver", file=sys.stderr)
        return 1
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with browser(chromium, chromedriver) as driver:
        for shot in shots(arguments.query):
            print(take(driver, arguments.base.rstrip("/"), shot, arguments.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
