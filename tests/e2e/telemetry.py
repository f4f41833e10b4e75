# SPDX-License-Identifier: Apache-2.0
"""An engine's telemetry as the tests read it: DPDK's socket, giro-exporter, Prometheus' text format.

The parser is written from Prometheus' description of the format, and stricter: what promtool would
only warn of is an error here.
"""

import collections
import contextlib
import json
import pathlib
import re
import socket
import subprocess
import urllib.error
import urllib.request

import network

EXPORTER = network.BUILD / "monitor/giro-exporter"

Metric = collections.namedtuple("Metric", "type help samples")

_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})? (\S+)\Z')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"')
_UNITS = re.compile(r"_(ms|us|ns|milliseconds|kib|mib|cycles|percent)(_|\Z)")


def socket_path(engine):
    return pathlib.Path(f"/var/run/dpdk/{engine.prefix}/dpdk_telemetry.v2")


def ask(engine, command, seconds=10):
    """The answer to one command, None where the engine refuses it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(seconds)
        connection.connect(str(socket_path(engine)))
        json.loads(connection.recv(1 << 20))
        connection.send(command.encode())
        answer = json.loads(connection.recv(1 << 20))
    assert list(answer) == [command.split(",")[0]], answer
    return answer[command.split(",")[0]]


def ask_each(engine, command):
    return [ask(engine, f"{command},{index}") for index in ask(engine, command)]


@contextlib.contextmanager
def exporter(engine, *options):
    """giro-exporter for this engine on a free port; gives its base URL."""
    words = options or ("--socket", socket_path(engine))
    process = subprocess.Popen([EXPORTER, "--listen", "0", *words], text=True,
                               stdout=subprocess.PIPE, preexec_fn=network.die_with_parent)
    try:
        url = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        yield url
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def fetch(url, method="GET", body=None):
    """(status, headers, text) also where the status says no."""
    request = urllib.request.Request(url, method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def metrics(url):
    status, headers, text = fetch(url + "metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return parse(text)


def parse(text):
    """{name: Metric}, samples as {labels: value}, labels a frozenset of pairs. Raises AssertionError
    for whatever is not as Prometheus wants it."""
    assert text.endswith("\n")
    found = {}
    current = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, help_text = line[7:].split(" ", 1)
            assert name not in found, f"{name} comes twice"
            assert help_text
            current, found[name] = name, Metric(None, help_text, {})
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == current and found[name].type is None and not found[name].samples, line
            assert kind in ("counter", "gauge", "histogram"), line
            found[name] = found[name]._replace(type=kind)
        else:
            _add_sample(found[current], current, line)
    for name, metric in found.items():
        _check(name, metric)
    return found


def _add_sample(metric, name, line):
    match = _SAMPLE.match(line)
    assert match, f"no sample: {line!r}"
    suffix = match[1].removeprefix(name)
    assert match[1].startswith(name), f"{match[1]} stands below {name}"
    assert suffix in (("_bucket", "_sum", "_count") if metric.type == "histogram" else ("",)), line
    pairs = _LABEL.findall(match[2] or "")
    assert ",".join(f'{key}="{value}"' for key, value in pairs) == (match[2] or ""), line
    labels = frozenset(pairs) | ({("", suffix)} if suffix else frozenset())
    assert len({key for key, _ in pairs}) == len(pairs), line
    assert labels not in metric.samples, f"twice: {line}"
    metric.samples[labels] = float(match[3])


def _check(name, metric):
    assert metric.type, f"{name} has no type"
    assert metric.samples, f"{name} has no samples"
    assert name.startswith("giro_") and not _UNITS.search(name), f"{name}: base units only"
    assert name.endswith("_total") == (metric.type == "counter"), f"{name} is a {metric.type}"
    assert all(value >= 0 for value in metric.samples.values()), f"{name} is negative"
    if metric.type == "histogram":
        for labels in {without(labels, "", "le") for labels in metric.samples}:
            _check_histogram(name, metric, labels)


def _check_histogram(name, metric, labels):
    buckets = sorted((float(dict(key)["le"]), value) for key, value in metric.samples.items()
                     if ("", "_bucket") in key and without(key, "", "le") == labels)
    counts = [value for _, value in buckets]
    assert buckets[-1][0] == float("inf"), f"{name}: no +Inf"
    assert counts == sorted(counts), f"{name}: buckets are not cumulative"
    assert counts[-1] == metric.samples[labels | {("", "_count")}], f"{name}: _count is not +Inf"
    total = metric.samples[labels | {("", "_sum")}]
    assert total > 0 or counts[-1] == 0, f"{name}: values without a sum"
    # Every value lies within its bucket, so the sum lies between the sums of the ends.
    lowest = sum((value - before) * low for (low, before), (_, value) in zip(buckets, buckets[1:]))
    assert lowest * 0.999 <= total, f"{name}: sum {total} is below what the buckets hold"


def without(labels, *keys):
    return frozenset((key, value) for key, value in labels if key not in keys)


def value(found, name, **labels):
    """The sum of a metric's samples that have these labels."""
    return sum(number for key, number in found[name].samples.items()
               if set(labels.items()) <= key)


def histogram(found, name, part, **labels):
    return sum(number for key, number in found[name].samples.items()
               if {("", part), *labels.items()} <= key
               and (part != "_bucket" or ("le", "+Inf") in key))
