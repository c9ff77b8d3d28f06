"""The web page in a real Chromium, served by a real gateway on the real engines."""

import base64
import io
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.conftest import PRODUCTS
from tests.fixtures.browser import Page


def picture_of(shop: Path, product: str) -> Path:
    return shop / "images" / product[:3] / f"{product}.jpg"


def test_typing_and_enter_shows_products(page: Page) -> None:
    page.open()
    assert page.driver.switch_to.active_element.get_attribute("id") == "q"
    ids = page.search("floral top")
    assert len(ids) == 24
    assert set(ids) <= set(PRODUCTS)
    assert page.driver.title == "“floral top” \u2013 Vitrine"
    assert page.one("#status").get_attribute("textContent") == "24 products found"
    first = page.one(".card")
    assert first.find_element(By.TAG_NAME, "h2").text == f"Product {ids[0]}"
    assert "Dress" in first.find_element(By.CLASS_NAME, "facts").text
    assert first.find_element(By.CLASS_NAME, "score").text
    page.until("the first picture", lambda: page.run("return document.querySelector('.card img').naturalWidth > 0"))


def test_an_answer_says_what_it_took_and_where_it_came_from(page: Page) -> None:
    # Asked nowhere else: a query that was asked before is not embedded again.
    page.open("/?q=floral+top+for+the+legend")
    page.wait_for_hits("“floral top for the legend”")
    legend = page.one("#timing-legend").text
    assert "Embedding" in legend
    assert "Search" in legend
    assert "ms in the service" in page.one("#timing-caption").text
    widths = page.run("return [...document.querySelectorAll('.stage')].map((stage) => stage.clientWidth)")
    assert len(widths) >= 3
    assert all(width > 0 for width in widths)
    provenance = page.one("#provenance").text
    assert "Collection products_v1" in provenance
    assert "fingerprint" in provenance
    assert "request" in provenance


def test_the_address_holds_the_query(page: Page) -> None:
    page.open()
    floral = page.search("floral top")
    striped = page.search("red & striped?")
    assert urlsplit(page.driver.current_url).query == "q=red+%26+striped%3F"
    page.driver.refresh()
    assert page.wait_for_hits("“red & striped?”") == striped
    page.driver.back()
    assert page.wait_for_hits("“floral top”") == floral
    assert page.one("#q").get_attribute("value") == "floral top"
    page.driver.back()
    page.until("the start page", lambda: page.one("#welcome").is_displayed())
    assert not page.one("#results").is_displayed()


def test_an_example_is_one_click_away(page: Page) -> None:
    page.open()
    chip = page.one(".chip")
    text = chip.text
    chip.click()
    assert page.wait_for_hits(f"“{text}”")
    assert page.one("#q").get_attribute("value") == text


def test_more_like_this_searches_by_the_product(page: Page) -> None:
    page.open("/?q=dress")
    chosen = page.wait_for_hits("“dress”")[0]
    page.one(".card .similar").click()
    similar = page.wait_for_hits(f"More like Product {chosen}")
    assert chosen not in similar
    assert urlsplit(page.driver.current_url).query == f"id={chosen}"
    assert page.run("return document.activeElement.id") == "heading"
    page.until("the product's own picture", lambda: page.one("#reference").is_displayed())
    assert page.one("#q").get_attribute("value") == ""


def test_show_more_adds_what_follows(page: Page) -> None:
    page.open("/?q=dress")
    first = page.wait_for_hits("“dress”")
    page.one("#more").click()
    page.until("48 products", lambda: len(page.ids) == 48)
    assert page.ids[:24] == first
    assert len(set(page.ids)) == 48
    page.one("#more").click()
    page.until("all 60 products", lambda: len(page.ids) == len(PRODUCTS))
    assert not page.one("#more").is_displayed()


def test_a_picked_picture_finds_its_own_product(page: Page, shop: Path) -> None:
    page.open()
    page.one("#file").send_keys(str(picture_of(shop, PRODUCTS[29])))
    hits = page.wait_for_hits("Like your picture")
    assert hits[0] == PRODUCTS[29]
    assert page.one("#reference").get_attribute("src").startswith("blob:")
    assert "Picture" in page.one("#timing-legend").text
    page.one(".card .similar").click()
    page.wait_for_hits(f"More like Product {PRODUCTS[29]}")
    page.driver.back()
    assert page.wait_for_hits("Like your picture") == hits


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_dropped_or_pasted_picture_is_searched_with(page: Page, shop: Path, event: str) -> None:
    page.open()
    content = base64.b64encode(picture_of(shop, PRODUCTS[11]).read_bytes()).decode()
    page.run(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "product.jpg", { type: "image/jpeg" }));
        const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
        const made = arguments[1] === "paste" ? new ClipboardEvent("paste", options) : new DragEvent("drop", options);
        document.body.dispatchEvent(made);
        """,
        content,
        event,
    )
    assert page.wait_for_hits("Like your picture")[0] == PRODUCTS[11]


def test_dragging_a_file_over_the_page_shows_where_it_may_fall(page: Page) -> None:
    page.open()
    drag = """
        const transfer = new DataTransfer();
        transfer.items.add(new File(["x"], "product.jpg", { type: "image/jpeg" }));
        const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
        document.body.dispatchEvent(new DragEvent(arguments[0], options));
    """
    page.run(drag, "dragenter")
    assert page.one("#drop").is_displayed()
    page.run(drag, "dragleave")
    assert not page.one("#drop").is_displayed()


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.open()
    page.press("dress", Keys.ENTER)
    chosen = page.wait_for_hits("“dress”")[0]
    focused = "return document.activeElement.className || document.activeElement.id"
    page.press(Keys.TAB)
    assert page.run(focused) == "pick"
    page.press(Keys.TAB)
    assert page.run(focused) == "go"
    for _ in page.all(
        "#refine button:enabled, #refine input, #facet-list button, #facet-list input, #facet-list summary"
    ):
        page.press(Keys.TAB)
    page.press(Keys.TAB)
    assert page.run(focused) == "similar"
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.press(Keys.ENTER)
    page.wait_for_hits(f"More like Product {chosen}")
    page.driver.switch_to.active_element.send_keys("/")
    assert page.run("return document.activeElement.id") == "q"
    page.press("red", Keys.ENTER)
    page.wait_for_hits("“red”")


def test_a_link_before_all_others_skips_to_the_results(page: Page) -> None:
    page.open("/?q=dress")
    hits = page.wait_for_hits("“dress”")
    for _ in ("the brand", "the link"):
        page.press(Keys.SHIFT, Keys.TAB)
    assert page.run("return document.activeElement.className") == "skip"
    assert page.driver.switch_to.active_element.is_displayed()
    page.press(Keys.ENTER)
    page.press(Keys.TAB)
    assert page.run("return document.activeElement.className") == "similar"
    assert page.ids == hits
    assert len([address for address in page.addresses() if address.endswith("/search")]) == 1


@pytest.mark.parametrize("width", [320, 360, 412])
def test_a_phone_never_scrolls_sideways(page: Page, width: int) -> None:
    page.resize(width, 740)
    overflow = "return document.documentElement.scrollWidth - window.innerWidth"
    page.open()
    assert page.run(overflow) <= 0
    page.search("a rather long query about a floral top donaudampfschifffahrtsgesellschaft")
    assert page.run(overflow) <= 0
    outside = page.run(
        """
        const inside = ({ left, right }) => left >= -1 && right <= window.innerWidth + 1;
        const boxes = [...document.querySelectorAll(".card, .search, #heading, #timing")];
        return boxes.filter((box) => !inside(box.getBoundingClientRect())).map((box) => box.className || box.id);
        """
    )
    assert outside == []
    assert (
        page.run("return getComputedStyle(document.querySelector('.grid')).gridTemplateColumns.split(' ').length") == 2
    )


@pytest.mark.usefixtures("expected_failures")
def test_a_failed_search_shows_its_code_and_request(page: Page) -> None:
    page.open("/?id=no-such-product")
    assert page.wait_for_problem() == "item_not_found"
    assert len(page.one("#problem-request").text) >= 16
    assert "no-such-product" in page.one("#problem").text
    assert page.ids == []
    assert "No such item" in page.one("#status").get_attribute("textContent")
    # What is wrong with the request stays wrong: there is nothing to try again.
    assert page.all("#retry") == []
    page.search("dress")
    assert not page.one("#problem").is_displayed()


@pytest.mark.usefixtures("expected_failures")
def test_a_damaged_picture_is_told_as_such(page: Page, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    broken = tmp_path / "broken.png"
    broken.write_bytes(buffer.getvalue()[:500])
    page.open()
    page.one("#file").send_keys(str(broken))
    assert page.wait_for_problem() == "image_corrupt"


def test_a_file_that_is_no_picture_is_not_sent(page: Page, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("red dress")
    page.open()
    page.until("the window is dressed", lambda: page.one("#display").is_displayed())
    before = len(page.addresses())
    page.one("#file").send_keys(str(text))
    assert page.wait_for_problem() == "image_format_unsupported"
    assert not any(urlsplit(address).path.endswith("/search") for address in page.addresses()[before:])


def test_what_was_typed_is_never_markup(page: Page) -> None:
    page.open()
    page.search('<img src="/nowhere.png" onerror="document.title=1"> <b>dress</b>')
    assert page.all("#heading *") == []
    assert not any("nowhere" in urlsplit(address).path for address in page.addresses())


def test_a_dead_service_is_said_and_can_be_tried_again(page: Page) -> None:
    """The page's own answer to a gateway that is gone; the search works again as soon as it is back."""
    page.open("/?q=dress")
    page.wait_for_hits("“dress”")
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/v1/*"]})
    try:
        page.one("#q").clear()
        page.one("#q").send_keys("red", Keys.ENTER)
        assert page.wait_for_problem() == "network_error"
    finally:
        page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    page.one("#retry").click()
    page.wait_for_hits("“red”")
    refused = page.complaints()
    assert all("net::ERR_" in text for text in refused), refused


def test_a_slow_old_answer_never_replaces_a_newer_one(page: Page) -> None:
    page.open()
    page.run(
        """
        const real = window.fetch;
        window.fetch = (address, options) => {
          const answer = real(address, options);
          const slow = String(options?.body ?? "").includes("slowly");
          return slow ? answer.then((value) => new Promise((done) => { window.release = () => done(value); })) : answer;
        };
        """
    )
    page.one("#q").send_keys("slowly", Keys.ENTER)
    page.until("the first answer is held back", lambda: page.run("return typeof window.release === 'function'"))
    newer = page.search("quickly")
    page.run("window.release()")
    page.run("return new Promise((done) => setTimeout(done, 50))")
    assert page.heading == "“quickly”"
    assert page.ids == newer
