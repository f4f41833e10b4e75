# SPDX-License-Identifier: Apache-2.0
"""Reads what giro-replay export wrote, and the headers of a log, from docs/audit.md and
docs/log-format.md alone: no code of giro's."""

import csv
import io
import json
import sqlite3
import struct
import subprocess

STEMS = ("epochs", "operations", "transfers", "movements")
NUMBERS = {"number", "epoch", "block", "incarnation", "ledger", "floor", "amount", "balance",
           "code"}

PAGE = 4096
# magic at 8; type at 18; seq, epoch, time_ms, durable_count, incarnation, payload_bytes from 48
BLOCK_MAGIC = 0x316b6c622d6f7267


def position(folder):
    """The position of a folder as {word: text}; {} before there is one."""
    try:
        lines = (folder / "position").read_text().splitlines()
    except FileNotFoundError:
        return {}
    assert lines[0] == "giro export 1", lines[0]
    return dict(line.split() for line in lines[1:])


def rows(folder, form):
    """{stem: [{column: value}]}, as far as the position goes; ids and numbers as int."""
    reach = position(folder)
    found = {}
    for stem in STEMS:
        name = f"{stem}.{form}"
        with open(folder / name, "rb") as file:
            data = file.read(int(reach[name]))
        assert len(data) == int(reach[name]), f"{name} is shorter than its position"
        assert not data or data.endswith(b"\n"), f"the last row of {name} is not whole"
        text = data.decode("ascii")
        found[stem] = (list(csv.DictReader(io.StringIO(text))) if form == "csv" else
                       [json.loads(line) for line in text.splitlines()])
    for stem in STEMS:
        for row in found[stem]:
            for key, value in row.items():
                if key in NUMBERS:
                    assert form == "csv" or isinstance(value, int), (key, value)
                    row[key] = int(value)
                elif key in ("account", "counterparty", "transfer", "debit", "credit",
                             "operation"):
                    row[key] = int(value)
    return found


def database_position(path):
    """Blocks in a SQLite export; 0 before there is one."""
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return database.execute("SELECT blocks FROM position").fetchone()[0]
        finally:
            database.close()
    except sqlite3.OperationalError:
        return 0


def shell(path, query):
    """What the sqlite3 shell answers, line by line."""
    done = subprocess.run(["sqlite3", "-batch", "-bail", path, query], text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, f"{query}: {done.stderr}"
    return done.stdout.splitlines()


class Block:
    """A block's header in a log's directory, and where it lies."""

    def __init__(self, file, offset, page):
        (self.seq, self.epoch, self.time_ms, self.durable, self.incarnation,
         self.payload) = struct.unpack_from("<6Q", page, 48)
        self.file = file
        self.offset = offset

    def destroy(self):
        with open(self.file, "r+b") as file:
            file.seek(self.offset)
            file.write(bytes(PAGE))


def blocks(log):
    """The blocks of a log in order; only magic, number and incarnation are looked at."""
    found = []
    for file in sorted(log.glob("*.wal")):
        data = file.read_bytes()
        offset = PAGE
        while offset + PAGE <= len(data):
            page = data[offset:offset + PAGE]
            block = Block(file, offset, page)
            if (struct.unpack_from("<Q", page, 8)[0] != BLOCK_MAGIC
                    or block.seq != (found[-1].seq + 1 if found else 0)
                    or found and block.incarnation < found[-1].incarnation):
                break
            found.append(block)
            offset += PAGE + block.payload
    return found
