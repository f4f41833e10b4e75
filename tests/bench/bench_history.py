# SPDX-License-Identifier: Apache-2.0
"""history: what checkpoints and the archive give on a long log.

A log of many transfers is made by the load generator, then asked: proved from the first byte, looked
back at in its middle, started from, trimmed; each with checkpoints and without, as a ratio.
"""

import os
import re
import subprocess
import tempfile
import time

import ground

TITLE = "a long log: proof, a balance in the middle, restart, archive; with checkpoints and without"

ACCOUNTS = 100000
SHARDS = 2
CROSS = 0.3
MTU = 1500
# Checkpoints in the log, besides one at its end.
PARTS = 4
SAMPLE_S = 3
LOADS_MAX = 8  # each opens accounts of its own


class Asked:
    """One run of giro-replay: what it printed, how long it took, the most memory it held."""

    def __init__(self, process, command, *arguments):
        words = [str(ground.network.BUILD / "replay/giro-replay"), command, str(process.log),
                 *map(str, arguments)]
        with tempfile.TemporaryFile("w+") as output:
            start = time.monotonic()
            child = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT,
                                     preexec_fn=ground.network.die_with_parent)
            # Its own use, not that of all children so far.
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            self.seconds = time.monotonic() - start
            output.seek(0)
            self.text = output.read()
        self.mib = usage.ru_maxrss // 1024
        if child.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} ended with {child.returncode}:\n"
                               f"{self.text[-3000:]}")

    def number(self, pattern):
        return int(re.search(pattern, self.text, re.MULTILINE)[1])


def fill(report, process, transfers):
    """Loads the engine until its log holds so many; how fast it will be is known only afterwards."""
    done = rate = loads = 0
    while done < transfers:
        if loads == LOADS_MAX:
            raise RuntimeError(f"only {done} of {transfers} transfers after {loads} loads")
        seconds = int((transfers - done) / rate * 1.1) + 1 if rate else SAMPLE_S
        result = ground.load(process, ACCOUNTS, MTU, seconds, in_flight=512, cross=CROSS,
                             timeout=600 + 4 * seconds)
        done += result["transfers"]
        rate = result["rate"]
        loads += 1
    process.stop()
    files = sorted(process.log.glob("*.wal"))
    report.note(f"{sum(file.stat().st_blocks for file in files) * 512 >> 20} MiB of segments")


def balance(report, process, epoch, what):
    account = process_issuer(process, epoch)
    plain = Asked(process, "balance", account, "--at", epoch, "--checkpoints", "none")
    resumed = Asked(process, "balance", account, "--at", epoch)
    if plain.text != resumed.text:
        raise RuntimeError(f"two balances at epoch {epoch}:\n{plain.text}{resumed.text}")
    report.row(f"balance --at, {what}", resumed.seconds, "s", plain.seconds, "from first byte",
               f"{resumed.mib} MiB, {plain.mib} MiB from the first byte", series="balance",
               lower_is_better=True, mib=resumed.mib)


def process_issuer(process, epoch):
    """Some account that there is."""
    text = Asked(process, "balances", "--at", epoch, "--csv", "--where", "balance<0").text
    return text.splitlines()[1].split(",")[0]


def start(report, process, what, reference=None):
    """Seconds until the engine is ready, and of them for its log; its checkpoint must serve if there
    is something to compare with."""
    begun = time.monotonic()
    process.start()
    ready_s = time.monotonic() - begun
    screen = process.screen()
    log_s = float(re.search(r"transfers replayed in ([\d.]+) s", screen)[1])
    if (reference is not None) != ("from the checkpoint" in screen):
        raise RuntimeError(f"not the start that was meant:\n{screen}")
    parts = re.search(r"loaded in ([\d.]+) s, the log behind it replayed in ([\d.]+) s", screen)
    shown = f"ready after {ready_s:.2f} s"
    if parts:
        shown += f"; loaded in {parts[1]} s, the rest replayed in {parts[2]} s"
    report.row(f"start, {what}", log_s, "s", reference, "without checkpoint", shown,
               series="start", lower_is_better=True, ready_s=ready_s)
    process.stop()
    return log_s


def verify(report, process, what, series):
    asked = Asked(process, "verify")
    transfers = asked.number(r"^transfers\s+(\d+) decided")
    seconds = float(re.search(r"^replayed\s+([\d.]+) s", asked.text, re.MULTILINE)[1])
    report.row(f"verify, {what}", transfers / seconds, "transfers/s",
               shown=f"{transfers} transfers in {seconds:.1f} s, {asked.mib} MiB", series=series,
               transfers=transfers, seconds=seconds, mib=asked.mib)
    return asked


def trim(report, process):
    archive = process.log / "archive"
    asked = Asked(process, "trim", "--archive", archive)
    found = re.search(r"(\d+) segments removed, (\d+) MiB; kept in \S+, (\d+) MiB", asked.text)
    report.row("trim, archived", int(found[2]) / int(found[3]), "x smaller",
               shown=f"{found[2]} MiB in {asked.seconds:.1f} s, with the proof; {asked.mib} MiB",
               series="trim", seconds=asked.seconds, mib=asked.mib)


def run(report, _, transfers):
    with ground.running_engine(SHARDS, MTU, LOADS_MAX * ACCOUNTS) as process:
        fill(report, process, transfers)
        whole = start(report, process, "from the first byte")
        last = verify(report, process, "the whole log", "verify").number(r"blocks to epoch (\d+)")
        made = Asked(process, "checkpoint", "--every", last // PARTS, "--keep", PARTS + 1)
        report.row("checkpoints made", made.seconds, "s",
                   shown=f"{made.text.count('checkpoint behind')} of them, {made.mib} MiB",
                   series="checkpoint", mib=made.mib)
        epochs = [int(epoch) for epoch in re.findall(r"epoch (\d+) ", made.text)]
        middle = epochs[PARTS // 2 - 1]
        balance(report, process, middle, "in the middle, right behind a checkpoint")
        balance(report, process, middle + last // PARTS // 2, "half way to the next one")
        start(report, process, "the newest at the end", whole)
        kept = sorted(process.log.glob("*.checkpoint"))
        kept[-1].unlink()
        start(report, process, f"the newest 1/{PARTS} before the end", whole)
        verify(report, process, "and its checkpoints", "verify-checkpoints")
        trim(report, process)
        verify(report, process, "the archive and what is left", "verify-archive")
        start(report, process, "trimmed", whole)
