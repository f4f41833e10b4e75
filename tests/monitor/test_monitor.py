# SPDX-License-Identifier: Apache-2.0
"""The engine under load as a real Prometheus and a real browser see it.

Run by `scripts/test monitor`: Prometheus and Chromium are too much to install for every test run.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import network
import telemetry
from engine import Engine, wait_until

DASHBOARD = network.ROOT / "monitor/grafana.json"

SETTINGS = {"engine_shards": 4, "shard_ids_per_second": 200_000, "shard_window_s": 10,
            "log_buffer_kib": 1024, "log_segment_mib": 64}
RATE = 20000
LOAD_S = 20


def shots():
    """Where pictures are kept for people, or None."""
    folder = os.environ.get("GIRO_SHOTS")
    return pathlib.Path(folder) if folder else None


@contextlib.contextmanager
def running(words, **options):
    process = subprocess.Popen(list(map(str, words)), preexec_fn=network.die_with_parent,
                               stdout=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def load(report):
    """giro-bench in the background; its report is there when it has ended by itself."""
    process = network.start_in_client(
        network.BUILD / "client/giro-bench", "--server",
        f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--accounts", "20000", "--rate", str(RATE),
        "--cross", "0.3", "--warm-up", "0.1", "--seconds", str(LOAD_S), "--quiet", "--json",
        str(report), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# Prometheus

class Prometheus:
    """A server of its own: its data in the test's folder, its port a free one."""

    def __init__(self, folder, target):
        self.port = free_port()
        self.config = folder / "prometheus.yml"
        self.config.write_text(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n"
            f"- job_name: giro\n  static_configs:\n  - targets: ['{target}']\n")
        self.words = ["prometheus", f"--config.file={self.config}",
                      f"--storage.tsdb.path={folder / 'data'}",
                      f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        self.errors = folder / "prometheus.log"

    def get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?" + urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def ready(self):
        try:
            return self.get("query", query="1") is not None
        except OSError:
            return False

    def query(self, expression, at=None):
        """{labels without the job's: value}; an AssertionError where Prometheus refuses it."""
        parameters = {"query": expression} | ({"time": at} if at else {})
        data = self.get("query", **parameters)
        return {tuple(sorted((key, value) for key, value in row["metric"].items()
                             if key not in ("instance", "job", "__name__"))): float(row["value"][1])
                for row in data["result"]}

    def one(self, expression, at=None):
        rows = self.query(expression, at)
        assert len(rows) == 1, f"{expression}: {rows}"
        return next(iter(rows.values()))


def dashboard_queries():
    dashboard = json.loads(DASHBOARD.read_text())
    return [(panel["title"], target["expr"].replace("$__rate_interval", "10s"))
            for panel in dashboard["panels"] for target in panel.get("targets", ())]


def test_prometheus(row):
    with Engine(**SETTINGS) as engine, telemetry.exporter(engine) as url:
        target = url.removeprefix("http://").rstrip("/")
        prometheus = Prometheus(engine.folder, target)
        report = engine.folder / "bench.json"
        with row("promtool finds nothing to say about the metrics"):
            done = subprocess.run(["promtool", "check", "metrics"], text=True, capture_output=True,
                                  input=telemetry.fetch(url + "metrics")[2], timeout=60)
            assert (done.returncode, done.stdout + done.stderr) == (0, ""), done
        with open(prometheus.errors, "w") as errors, \
                running(prometheus.words, stderr=errors), load(report) as bench:
            wait_until(prometheus.ready, 60, "Prometheus")
            wait_until(lambda: prometheus.query("giro_up{job='giro'} == 1"), 30, "a scrape")
            assert bench.wait(120) == 0
            done = json.loads(report.read_text())
            # Scrapes go on for a while behind the load: the counter stands still then.
            wait_until(lambda: prometheus.one("sum(giro_transfers_total)")
                       == telemetry.value(telemetry.metrics(url), "giro_transfers_total"), 30,
                       "the last scrape")
            with row("its query of the rate is what giro-bench counted"):
                under_load = rate_is_the_benchs(prometheus, done, url)
            with row("its histograms give percentiles"):
                for name in ("giro_request_seconds", "giro_log_write_seconds"):
                    p99 = prometheus.one("histogram_quantile(0.99, sum by (le) "
                                         f"(rate({name}_bucket[30s])))")
                    assert 1e-5 < p99 < 10, (name, p99)
            with row("every query of the dashboard has an answer"):
                queries = dashboard_queries()
                assert len(queries) >= 12, queries
                for title, expression in queries:
                    assert prometheus.query(expression, under_load), f"{title}: {expression}"
        engine.stop()


def rate_is_the_benchs(prometheus, done, url):
    """Returns a moment under load."""
    series = prometheus.get("query_range", query="sum(giro_transfers_total)",
                            start=time.time() - 120, end=time.time(), step=1)
    points = [(float(at), float(number)) for at, number in series["result"][0]["values"]]
    rising = [point for before, point in zip(points, points[1:]) if point[1] > before[1]]
    # The middle of the load, away from the opening deposits and its end.
    begin, end = rising[len(rising) // 4], rising[-2]
    seconds = round(end[0] - begin[0])
    rate = prometheus.one(f"sum(rate(giro_transfers_total[{seconds}s]))", at=end[0])
    print(f"     Prometheus: sum(rate(giro_transfers_total[{seconds}s])) = {rate:.0f}, "
          f"giro-bench: {done['rate']:.0f} transfers/s")
    assert abs(rate - done["rate"]) < 0.1 * done["rate"], (rate, done["rate"])
    counted = prometheus.one("sum(giro_transfers_total)")
    told = telemetry.value(telemetry.metrics(url), "giro_transfers_total")
    assert counted == told and counted >= done["transfers"], (counted, told, done["transfers"])
    print(f"     Prometheus: sum(giro_transfers_total) = {counted:.0f}, giro-bench measured "
          f"{done['transfers']} and made deposits and a warm-up besides")
    return end[0]


# A browser

class Browser:
    """Chromium, driven through chromedriver's own protocol (WebDriver)."""

    def __init__(self, folder):
        self.port = free_port()
        self.folder = folder
        self.words = ["chromedriver", f"--port={self.port}", f"--log-path={folder}/driver.log"]
        self.session = ""

    def call(self, method, path, **body):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/session{self.session}{path}", method=method,
            data=json.dumps(body).encode() if method == "POST" else None)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def ready(self):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=5).close()
        except OSError:
            return False
        return True

    def open(self, url):
        wait_until(self.ready, 30, "chromedriver")
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu",
                            "--disable-dev-shm-usage", "--window-size=1240,1180",
                            f"--user-data-dir={self.folder}/profile"]}
        made = self.call("POST", "", capabilities={"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}}})
        self.session = "/" + made["sessionId"]
        self.call("POST", "/url", url=url)

    def script(self, text):
        return self.call("POST", "/execute/sync", script=text, args=[])

    def text(self, identity):
        return self.script(f"return document.getElementById('{identity}').textContent")

    def complaints(self):
        return [entry for entry in self.call("POST", "/se/log", type="browser")
                if entry["level"] in ("SEVERE", "WARNING")]

    def close(self):
        if self.session:
            self.call("DELETE", "")


def number(text):
    """"19.9 k" as 19900."""
    match = re.match(r"([\d.]+)(?: ([kM]))?\Z", text)
    return float(match[1]) * {"k": 1e3, "M": 1e6, None: 1}[match[2]] if match else None


def test_status_page(row):
    with Engine(**SETTINGS) as engine, telemetry.exporter(engine) as url:
        browser = Browser(engine.folder)
        with running(browser.words, stderr=subprocess.DEVNULL), \
                load(engine.folder / "bench.json"), contextlib.closing(browser):
            browser.open(url)
            with row("live, with the rate of the load"):
                wait_until(lambda: browser.text("state") == "live", 30, "the page is live")
                wait_until(lambda: abs((number(browser.text("rate")) or 0) - RATE) < 0.15 * RATE,
                           60, "the rate of the load")
            with row("latency curve, shards, cores and log are drawn"):
                page_is_drawn(browser)
            with row("it asks nobody but the exporter, and has nothing to complain of"):
                names = browser.script("return performance.getEntriesByType('resource')"
                                       ".map(entry => entry.name)")
                assert names and set(names) == {url + "status.json"}, set(names)
                complaints = browser.complaints()
                assert not complaints, complaints
            if shots():
                picture(browser, engine, shots())
            with row("without the engine it says so, and comes back with it"):
                engine.stop()
                wait_until(lambda: browser.text("state").startswith("no engine"), 30, "no engine")
                engine.start()
                wait_until(lambda: browser.text("state") == "live", 150, "live again")
        engine.stop()


def page_is_drawn(browser):
    wait_until(lambda: re.search(r"\d (µs|ms|s)\Z", browser.text("p99")), 30, "p99")
    assert re.search(r"\d (µs|ms|s)\Z", browser.text("write")), browser.text("write")
    assert int(browser.text("lag")) >= 1
    drawn = browser.script(
        "return {curve: document.querySelector('#curve polyline').getAttribute('points'),"
        " rates: document.querySelectorAll('#rates polyline').length,"
        " shards: [...document.querySelectorAll('#heat [data-shard]')].map(e => e.textContent),"
        " cores: document.querySelectorAll('#cores tr').length,"
        " wide: document.documentElement.scrollWidth > innerWidth}")
    heights = [float(point.split(",")[1]) for point in drawn["curve"].split()]
    assert len(heights) == 11 and heights == sorted(heights, reverse=True), drawn
    # A line of heads, four workers, the log writer.
    assert drawn["rates"] == 1 and drawn["cores"] == 6 and not drawn["wide"], drawn
    assert len(drawn["shards"]) == 4, drawn
    assert all(number(text.split("shard")[0]) > 0 for text in drawn["shards"]), drawn


def picture(browser, engine, folder):
    """For people: the page, and giro top in text, after some more seconds of load."""
    folder.mkdir(parents=True, exist_ok=True)
    seen = time.monotonic()
    wait_until(lambda: time.monotonic() > seen + 8, 20, "time to draw")
    (folder / "status.png").write_bytes(base64.b64decode(browser.call("GET", "/screenshot")))
    done = subprocess.run([network.BUILD / "client/giro", "top", "--once", "--socket",
                           telemetry.socket_path(engine)], text=True, capture_output=True)
    (folder / "top.txt").write_text(done.stdout)


def test_programs_are_there(row):
    with row("prometheus, promtool, chromium and its driver"):
        for program in ("prometheus", "promtool", "chromium", "chromedriver"):
            assert shutil.which(program), f"{program} is missing: scripts/install-packages monitor"
