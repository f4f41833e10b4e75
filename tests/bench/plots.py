# SPDX-License-Identifier: Apache-2.0
"""The plots of a run as SVG, by gnuplot: only those whose rows were measured."""

import pathlib
import subprocess

HEAD = """set terminal svg size 720,420 font "sans,12" background "white"
set grid
set key left top
set output "{output}"
set title "{title}"
"""

BATCH = HEAD + """set xlabel "transfers in a datagram"
set ylabel "transfers/s"
set logscale x 2
set yrange [0:*]
set format y "%.1s %c"
plot {curves}
"""

LATENCY = HEAD + """set xlabel "transfers/s offered"
set ylabel "ms from the intended send time"
set logscale y
set format x "%.1s %c"
plot {curves}
"""

CROSS = HEAD + """set xlabel "% of transfers between shards"
set ylabel "transfers/s"
set yrange [0:*]
set format y "%.1s %c"
plot {curves}
"""


def curve(title, points):
    """A data block and what plots it."""
    name = "$points_" + "".join(c if c.isalnum() else "_" for c in title)
    lines = "\n".join(f"{x} {y}" for x, y in points)
    return f"{name} << end\n{lines}\nend\n", f'{name} with linespoints pt 7 title "{title}"'


def draw(template, folder, file, title, curves):
    curves = [(name, points) for name, points in curves if points]
    if not curves:
        return
    made = [curve(name, sorted(points)) for name, points in curves]
    text = "".join(block for block, _ in made) + template.format(
        output=folder / file, title=title, curves=", ".join(plot for _, plot in made))
    subprocess.run(["gnuplot"], input=text, text=True, check=True)
    print(f"wrote {folder / file}")


def draw_all(report, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    draw(BATCH, folder, "throughput-by-batch.svg", "Durable transfers by batch, 2 shards",
         [(f"{accounts // 1000} k accounts",
           [(row["batch"], row["value"]) for row in report.find("net", f"batch-{accounts}")])
          for accounts in (10000, 1000000)])
    rows = report.find("latency", "load")
    draw(LATENCY, folder, "latency-by-load.svg", "Latency by load, open loop",
         [(name, [(row["offered"], row["latency_us"][name] / 1e3) for row in rows])
          for name in ("p50", "p99", "p99.9", "max")])
    draw(CROSS, folder, "throughput-by-cross-share.svg", "Durable transfers by cross-shard share",
         [("full datagrams, MTU 1500, 2 shards",
           [(100 * row["cross"], row["value"]) for row in report.find("net", "cross")])])
