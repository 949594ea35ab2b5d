"""The page in a browser, from disk: no errors, nothing fetched, tables that sort, and room on any screen.

`pip install -e '.[browser]'`, and Debian's chromium and chromium-driver.
"""

import json
import shutil

import pytest

from analysis.page import compose, write_html
from analysis.rows.view import open_rows
from study.storage.memberships import add_memberships

pytestmark = pytest.mark.browser
webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WIDE, PHONE = 1280, 390


@pytest.fixture(scope="module")
def browser():
    if not (CHROMIUM and DRIVER):
        pytest.skip("Chromium and its driver are not installed.")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield started
    started.quit()


@pytest.fixture
def page(small_study, methods, tmp_path):
    """A page whose table of the best trials has a method without any score."""
    small_study.add_many(methods["dragan"], ["diverged"] * 3)
    add_memberships(small_study.folder, "mine", "digits", [small_study.add(score=9.0, seed=99)])
    rows = open_rows(small_study.folder)
    return write_html(compose(rows), tmp_path / "page.html")


def opened(browser, page, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < WIDE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for kind in ("performance", "browser"):
        browser.get_log(kind)  # which forgets what earlier pages left
    browser.get(page.as_uri())
    return browser


def requests(browser):
    """Addresses that were asked for since the page was opened, but those that hold what they point to."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [address for address in sent if not address.startswith("data:")]


def column(table, place):
    cells = table.find_elements("css selector", f"tbody td:nth-child({place})")
    return [cell.text for cell in cells]


def head(table, text):
    heads = table.find_elements("tag name", "th")
    place = [each.text.strip("\u2195\u2191\u2193 ").strip() for each in heads].index(text)
    return heads[place], place + 1


def test_it_opens_from_disk_without_errors_or_requests(browser, page, tmp_path):
    opened(browser, page, WIDE)
    assert browser.get_log("browser") == []
    assert requests(browser) == [page.as_uri()]
    broken = "return [...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert browser.execute_script(broken) == 0
    assert browser.execute_script("return document.images.length") > 1
    assert browser.save_screenshot(str(tmp_path / "page.png"))
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_click_on_a_header_sorts_and_another_turns_it_round(browser, page):
    table = opened(browser, page, WIDE).find_element("css selector", "#tables table")
    cell, place = head(table, "best")
    before = column(table, place)
    cell.find_element("tag name", "button").click()
    known = sorted((text for text in before if text != "-"), key=float)
    assert known != sorted(known), "as words they would sort otherwise"
    assert (column(table, place), cell.get_attribute("aria-sort")) == ([*known, "-"], "ascending")
    cell.find_element("tag name", "button").click()
    assert (column(table, place), cell.get_attribute("aria-sort")) == ([*reversed(known), "-"], "descending")
    other, place = head(table, "method")
    other.find_element("tag name", "button").send_keys("\n")
    assert column(table, place) == sorted(column(table, place), key=str.lower)
    assert (other.get_attribute("aria-sort"), cell.get_attribute("aria-sort")) == ("ascending", "none")


@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_nothing_is_wider_than_the_screen(browser, page, width):
    opened(browser, page, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_it_prints(browser, page):
    printed = opened(browser, page, WIDE).print_page()
    assert len(printed) > 10_000
