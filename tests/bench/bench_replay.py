# SPDX-License-Identifier: Apache-2.0
"""replay: how fast the log of a run is gone through again, by the auditor and by a restart.

The reference is how fast the same files are read, without looking at them.
"""

import os
import re
import time

import ground

TITLE = "every outcome computed again and compared"

ACCOUNTS = 100000
SHARDS = 2
TARGET = 3e6  # a core


def read_seconds(folder):
    """Reads the segments past the page cache, as the reader of the log does."""
    start = time.monotonic()
    for file in sorted(folder.iterdir()):
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        while os.read(handle, 1 << 20):
            pass
        os.close(handle)
    return time.monotonic() - start


def verify(report, process, what, threads):
    text = process.verify("--threads", threads)
    transfers, records = (int(re.search(pattern, text, re.MULTILINE)[1]) for pattern in
                          (r"^transfers\s+(\d+) decided", r"^records\s+(\d+)"))
    bytes_each = float(re.search(r"^bytes a transfer\s+([\d.]+)", text, re.MULTILINE)[1])
    seconds = float(re.search(r"^replayed\s+([\d.]+) s", text, re.MULTILINE)[1])
    read_s = read_seconds(process.log)
    report.row(f"verify, {what}, {threads} thread{'s' if threads > 1 else ''}",
               transfers / seconds, "transfers/s", transfers / read_s, "only reading",
               f"{records / seconds:.0f} records/s, {bytes_each:.1f} log bytes a transfer",
               TARGET * threads, series="verify", threads=threads,
               records_per_second=records / seconds, transfers=transfers, log_bytes=bytes_each)
    return transfers, read_s


def recover(report, process, what, transfers, read_s):
    process.start()
    found = re.search(r"(\d+) transfers replayed in ([\d.]+) s", process.screen())
    process.stop()
    if not found or int(found[1]) < transfers:
        raise RuntimeError(f"the engine did not recover {transfers} transfers:\n"
                           f"{process.screen()}")
    seconds = float(found[2])
    report.row(f"recovery, {what}", transfers / seconds, "transfers/s", transfers / read_s,
               "only reading", f"{seconds:.2f} s in all", TARGET * SHARDS, series="recovery",
               seconds=seconds)


def run(report, seconds):
    for cross, what in ((0, "all within a shard"), (0.5, "half between two shards"),
                        (1, "all between two shards")):
        with ground.running_engine(SHARDS, 1500, ACCOUNTS) as process:
            ground.load(process, ACCOUNTS, 1500, seconds, in_flight=512, cross=cross)
            process.stop()
            for threads in (1, 2):
                transfers, read_s = verify(report, process, what, threads)
            recover(report, process, what, transfers, read_s)
    report.note("recovery: one thread reads, and one for each worker replays its shards")
