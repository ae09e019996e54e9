"""report.html in a real browser: loads without a complaint, and does what a reader does with it."""

import csv
import io

import pytest

from tests.browser.chromium import CHROMIUM, Browser
from tests.unit.report_page import pictures, run_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")

READY = "document.documentElement.dataset.ready"
FIRST = "document.querySelector('#rows tbody tr[data-place=\"0\"] a').textContent"
COUNT = "document.getElementById('count').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.html").write_text(run_page(), encoding="utf-8")
    with Browser(folder / "profile") as browser:
        browser.open((folder / "report.html").as_uri(), READY)
        yield browser


def choose(page, control, value, event="change"):
    page.run(
        f"(() => {{ const one = document.getElementById('{control}'); one.value = '{value}';"
        f" one.dispatchEvent(new Event('{event}', {{bubbles: true}})); }})()"
    )


def click(page, selector):
    page.run(f"document.querySelector(`{selector}`).click()")


def only_ages_from_35(page):
    choose(page, "threshold-column", "age")
    choose(page, "threshold-test", "above")
    choose(page, "threshold-value", "35")
    click(page, "#filters button")
    page.wait(f"{COUNT}.startsWith('5 of 13')")


def all_again(page):
    click(page, "#chips button")
    page.wait(f"{COUNT}.startsWith('13')")


def test_it_loads_without_a_complaint_and_runs_no_text_of_the_run(page):
    assert page.errors == []
    assert page.run("document.querySelectorAll('img[onerror]').length") == 0
    assert page.run("document.querySelectorAll('.chart canvas').length") >= 3


def test_the_worst_come_first_and_a_click_sorts(page):
    assert page.run(FIRST) == "case09"
    click(page, "#rows th:nth-child(2) button")
    page.wait(f"{FIRST} === 'bad1'")
    assert page.run("document.querySelector('#rows th:nth-child(2)').getAttribute('aria-sort')") == "ascending"
    click(page, "#rows th:nth-child(2) button")
    page.wait(f"{FIRST} === 'new'")
    assert page.run("document.querySelectorAll('#rows th[aria-sort=descending]').length") == 1
    click(page, "#rows th:nth-child(3) button")
    page.wait(f"{FIRST} === 'case09'")


def test_search_status_and_thresholds_filter(page):
    choose(page, "search", "BAD2", "input")
    page.wait(f"{COUNT}.startsWith('1 of 13')")
    choose(page, "search", "", "input")
    choose(page, "status", "quarantined")
    page.wait(f"{COUNT}.startsWith('2 of 13')")
    choose(page, "status", "")
    only_ages_from_35(page)
    text = page.run("document.querySelector('#chips button').textContent")
    assert text == "age ≥ 35 ×"
    all_again(page)


def test_the_filtered_rows_are_saved_as_csv(page):
    page.run(
        "window.saved = null; URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; });"
        " return '#'; }"
    )
    only_ages_from_35(page)
    click(page, "#export")
    page.wait("window.saved")
    rows = list(csv.DictReader(io.StringIO(page.run("window.saved"))))
    assert [row["image_id"] for row in rows] == ["case09", "case08", "case07", "case06", "case05"]
    assert rows[0]["age"] == "39"
    assert rows[0]["finding"] == "'=1+1"
    all_again(page)


def test_a_case_opens_with_its_layers_and_keys_lead_on(page):
    click(page, "#rows tbody a")
    page.wait("document.getElementById('numbers').rows.length > 5")
    title = "document.getElementById('viewer-title').textContent"
    assert page.run(title) == "case09"
    assert page.run("location.hash") == "#case=case09"
    assert "images/case09.png" in page.run("document.getElementById('decisions').textContent")
    shown = "getComputedStyle(document.querySelector('#stage .difference')).display"
    assert page.run(shown) == "none"
    page.press("d")
    assert page.run(shown) == "inline"
    click(page, "#layers [data-layer=prediction]")
    assert page.run("getComputedStyle(document.querySelector('#stage path.prediction')).display") == "none"
    click(page, "#layer-classes input")
    assert page.run("document.querySelector('#stage .class-0').classList.contains('off')")
    before = page.run("document.getElementById('stage').getAttribute('viewBox')")
    page.press("+")
    assert page.run("document.getElementById('stage').getAttribute('viewBox')") != before
    page.press("ArrowRight")
    page.wait(f"{title} === 'case08'")
    page.press("Escape")
    page.wait("!document.getElementById('viewer').open")


def test_the_difference_covers_the_pixels_that_differ(page):
    """The even-odd rule on both outlines, read back from a canvas; this prediction is its reference 9 pixels aside."""
    shares = page.run(
        """['case00', 'case09'].map((id) => {
          const paths = [...document.querySelectorAll(`figure[data-case=${id}] path.class-0`)];
          const canvas = new OffscreenCanvas(48, 48).getContext('2d');
          canvas.fill(new Path2D(paths.map((path) => path.getAttribute('d')).join('')), 'evenodd');
          const data = canvas.getImageData(0, 0, 48, 48).data;
          return data.filter((value, index) => index % 4 === 3 && value > 127).length / 48 / 48;
        })"""
    )
    reference, moved = (pictures(9)[index] & 1 for index in (1, 2))
    assert shares[0] == 0
    assert abs(shares[1] - (reference != moved).mean()) < 0.03


def test_a_link_points_to_a_case_even_without_a_picture(page):
    page.run("location.hash = '#case=bad1'")
    page.wait("document.getElementById('viewer-title').textContent === 'bad1'")
    page.wait("document.getElementById('no-picture').textContent.includes('has 3 </script>')")
    click(page, "#close")


def test_the_language_changes_all_texts(page):
    choose(page, "language", "zh")
    assert page.run("document.querySelector('#methods h2').textContent") == "方法"
    assert page.run("document.getElementById('count').textContent") == "13 / 13 幅图像"
    choose(page, "language", "en")
    assert page.run("document.querySelector('#methods h2').textContent") == "Methods"


def test_dark_and_light_change_by_the_button(page):
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.run(background)
    click(page, "#theme")
    assert page.run(background) != light
    click(page, "#theme")
    assert page.run(background) == light


def test_it_fits_a_phone(page):
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    assert page.run("document.documentElement.scrollWidth") <= 360
    page.call("Emulation.clearDeviceMetricsOverride")


def test_nothing_was_complained_of_on_the_way(page):
    assert page.errors == []
