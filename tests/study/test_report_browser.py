"""The report in a real browser: no request leaves it, nothing overflows a phone, headings sort."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from probes import TransferResult
from sophistry.files import write_atomic
from study.plots.style import Style
from study.report import Report, write_report

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
                if (path := shutil.which(name))), None)  # fmt: skip
FIXTURE = Path(__file__).parent / "fixtures" / "transfer_result.json"
PROBE = """
<script>
window.addEventListener("load", function () { setTimeout(function () {
  var table = document.querySelector("table.sortable"), out = {};
  function column(n) { return Array.from(table.tBodies[0].rows).map(r => r.cells[n].textContent.trim()); }
  var heads = Array.from(table.tHead.rows[0].cells).map(h => h.textContent), at = heads.indexOf("AUROC");
  out.width = innerWidth;
  out.wide = document.documentElement.scrollWidth;
  out.requests = performance.getEntriesByType("resource").map(e => e.name);
  out.drawn = document.querySelectorAll(".drawn .main-svg").length;
  out.before = column(at);
  table.tHead.rows[0].cells[at].click(); out.up = column(at);
  table.tHead.rows[0].cells[at].click(); out.down = column(at);
  out.sorted = table.tHead.rows[0].cells[at].getAttribute("aria-sort");
  var paper = () => getComputedStyle(document.body).backgroundColor;
  out.first = paper(); document.getElementById("theme").click(); out.second = paper();
  parent.postMessage(JSON.stringify(out), "*");
}, 300); });
</script></body>"""

FRAME = """<!doctype html><body><iframe src="{page}" width="{width}" height="900" style="border:0"></iframe>
<script>addEventListener("message", function (event) {{
  document.body.dataset.found = event.data; document.querySelector("iframe").remove();
}});</script></body>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chrome or Chromium is installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The report of a saved result."""
    folder = tmp_path_factory.mktemp("report")
    result = TransferResult.from_json(FIXTURE.read_text())
    about = {"role": "source", "rows": 1, "wrong": 1, "groups": 1, "left_out": {}, "fingerprint": "0" * 64}
    organisms = {d.name: about | {"command": f"make {'x' * 80}"} for d in result.domains}
    write_atomic(folder / "results.json", FIXTURE.read_text())
    write_atomic(folder / "organisms.json", json.dumps(organisms))
    write_atomic(folder / "config.yaml", "transfer: {}\n" + "# " + "long" * 60)
    write_report(Report.read(folder), Style(), ())
    return folder / "report.html"


def look(page: Path, width: int, tmp_path: Path) -> dict:
    """Open the page in a frame of this width, as a phone would, and say what is seen there."""
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</body>", PROBE))
    framed = tmp_path / "framed.html"  # a window is never as narrow as a phone
    framed.write_text(FRAME.format(page=probed.as_uri(), width=width))
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000"]
    command += ["--window-size=1400,1000", framed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr[-500:]
    return json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))


@pytest.fixture(scope="module", params=[390, 1280])
def seen(request, page, tmp_path_factory) -> dict:
    return look(page, request.param, tmp_path_factory.mktemp("browser")) | {"asked": request.param}


def test_nothing_is_wider_than_the_screen(seen):
    assert seen["width"] == seen["asked"]
    assert seen["wide"] <= seen["width"]
    assert seen["drawn"] > 5


def test_no_request_leaves_the_page(seen, page):
    assert [name for name in seen["requests"] if not name.startswith(("data:", "blob:"))] == []
    text = re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.S)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    assert "@import" not in text
    assert "url(" not in re.search(r"<style>(.*?)</style>", text, re.S)[1]


def test_a_click_on_a_heading_sorts_by_its_numbers(seen):
    def value(text):
        return float(re.match(r"[\d.]+", text)[0])

    up = [value(text) for text in seen["up"] if text]
    assert up == sorted(up)
    assert [value(text) for text in seen["down"] if text] == up[::-1]
    assert sorted(seen["before"]) == sorted(seen["up"])
    assert seen["before"] != seen["up"]
    assert seen["sorted"] == "descending"


def test_the_button_turns_light_into_dark(seen):
    assert seen["first"] != seen["second"]
