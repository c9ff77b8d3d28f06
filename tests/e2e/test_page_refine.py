"""Turning and narrowing a search on the page: weighted parts, filters, one product per design, keys."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.conftest import COLOURS, PRODUCTS
from tests.fixtures.browser import Page
from tests.fixtures.serving import RunningGateway

FACET = ".facet[data-field='colour_group_name']"


def address(page: Page) -> dict[str, list[str]]:
    """The parameters of the page's address."""
    return parse_qs(urlsplit(page.driver.current_url).query, keep_blank_values=True)


def weights(page: Page) -> list[float]:
    return [float(part.get_attribute("data-weight") or "nan") for part in page.all(".part")]


def api_hits(gateway: RunningGateway, query: object, **members: object) -> list[str]:
    return gateway.ids(query, limit=24, **members)


def test_less_of_a_product_turns_the_search_away_from_it(page: Page, gateway: RunningGateway) -> None:
    page.open("/?q=dress")
    first = page.wait_for_hits("“dress”")[0]
    page.one(".card .less").click()
    hits = page.wait_for_hits(f"“dress” without Product {first}")
    assert first not in hits
    assert weights(page) == [1, -0.25]
    assert hits == api_hits(gateway, [{"text": "dress"}, {"id": first, "weight": -0.25}])
    page.driver.refresh()
    assert page.wait_for_hits(f"“dress” without Product {first}") == hits


@pytest.mark.parametrize(
    ("button", "weight", "heading"), [("with", 1, "“dress” + “red”"), ("without", -0.25, "“dress” without “red”")]
)
def test_words_are_added_with_and_without(
    page: Page, gateway: RunningGateway, button: str, weight: float, heading: str
) -> None:
    page.open("/?q=dress")
    page.wait_for_hits("“dress”")
    page.one("#add-words").send_keys("red")
    page.one(f"#add-{button}").click()
    hits = page.wait_for_hits(heading)
    assert hits == api_hits(gateway, [{"text": "dress"}, {"text": "red", "weight": weight}])


def test_words_beside_a_picture_weigh_more(page: Page, shop: Path) -> None:
    page.open()
    page.one("#file").send_keys(str(shop / "images" / PRODUCTS[7][:3] / f"{PRODUCTS[7]}.jpg"))
    page.wait_for_hits("Like your picture")
    page.one("#add-words").send_keys("red", Keys.ENTER)
    page.wait_for_hits("Your picture + “red”")
    assert weights(page) == [1, 1.5]
    page.driver.back()
    assert page.wait_for_hits("Like your picture")[0] == PRODUCTS[7]


def test_a_part_can_be_weighed_and_removed(page: Page) -> None:
    page.open("/?q=dress&part=-0.25~words~red")
    page.wait_for_hits("“dress” without “red”")
    page.one("button[aria-label='More of “red”']").click()
    page.wait_for_hits("“dress” + “red”")
    assert weights(page) == [1, 0.25]
    page.one("button[aria-label='Remove “red”']").click()
    page.wait_for_hits("“dress”")
    page.one("button[aria-label='Remove “dress”']").click()
    page.until("the start page", lambda: page.one("#welcome").is_displayed())


def test_a_facet_narrows_the_search_and_takes_a_second_value(page: Page) -> None:
    page.open("/?q=dress")
    page.wait_for_hits("“dress”")
    page.until("facets", lambda: page.all(FACET))
    names = [label.text for label in page.all(f"{FACET} label span:first-of-type")]
    assert sorted(names) == sorted(COLOURS)
    for chosen in (COLOURS[:1], COLOURS[:2]):
        page.one(f'{FACET} input[value="{chosen[-1]}"]').click()
        page.until(
            "filtered hits", lambda c=chosen: sorted(address(page)["f.colour_group_name"]) == sorted(c) and page.ids
        )
        shown = {PRODUCTS.index(product) % 3 for product in page.ids}
        assert shown == {COLOURS.index(colour) for colour in chosen}
        assert len(page.all(f"{FACET} input")) == 3
    page.one("#clear-filters").click()
    page.until("no filter", lambda: "f.colour_group_name" not in address(page) and len(page.ids) == 24)


def test_a_quote_in_a_value_is_a_letter(page: Page) -> None:
    page.open("/?q=dress")
    page.wait_for_hits("“dress”")
    page.until("facets", lambda: page.all(FACET))
    page.run("document.querySelector(arguments[0]).click()", f"{FACET} li:has(input[value*='or 1==1']) input")
    page.until("filtered hits", lambda: page.ids and all(PRODUCTS.index(product) % 3 == 2 for product in page.ids))


def test_pages_go_on_within_a_filter_without_repeating(page: Page) -> None:
    page.open("/?q=dress&f.colour_group_name=Red&f.colour_group_name=Blue")
    page.until("hits", lambda: len(page.ids) == 24)
    page.one("#more").click()
    page.until("all of them", lambda: len(page.ids) == 40)
    assert len(set(page.ids)) == 40
    assert not page.one("#more").is_displayed()


def test_one_per_design_shows_each_group_once_and_leads_to_its_siblings(page: Page) -> None:
    page.open("/?q=dress")
    page.wait_for_hits("“dress”")
    page.one("#grouped").click()
    # Ten digits, of which the first seven are the design's: all of these products are of one design.
    page.until("one product", lambda: len(page.ids) == 1)
    assert "grouped" in address(page)
    siblings = page.one(".siblings")
    assert siblings.text == f"+ {len(PRODUCTS) - 1} of this design"
    siblings.click()
    page.until("its siblings", lambda: len(page.ids) == 24)


def test_a_shop_that_asks_for_a_key_gets_one(page: Page, gateway: RunningGateway) -> None:
    """What the page does with a 401; keys themselves are tested elsewhere."""
    page.open()
    page.run(
        """
        const real = window.fetch;
        window.fetch = (address, options) => {
          const known = options?.headers?.Authorization === "Bearer secret";
          if (known) return real(address, { ...options, headers: { "Content-Type": "application/json" } });
          const problem = { title: "t", detail: "d", code: "unauthenticated", status: 401 };
          return Promise.resolve(new Response(JSON.stringify(problem), { status: 401 }));
        };
        """
    )
    page.one("#q").send_keys("dress", Keys.ENTER)
    page.until("the question", lambda: page.all("#key-form"))
    page.one("#key").send_keys("secret", Keys.ENTER)
    assert page.wait_for_hits("“dress”") == api_hits(gateway, "dress")
    assert "secret" not in page.driver.current_url
    assert page.driver.find_elements(By.ID, "key-form") == [] or not page.one("#key-form").is_displayed()


@pytest.mark.parametrize("width", [320, 412])
def test_a_refined_search_never_scrolls_sideways_on_a_phone(page: Page, width: int) -> None:
    page.resize(width, 740)
    page.open("/?q=dress&part=-0.5~words~a+rather+long+phrase+about+something+else&f.colour_group_name=Red")
    page.until("hits", lambda: page.ids)
    assert page.run("return document.documentElement.scrollWidth - window.innerWidth") <= 0
