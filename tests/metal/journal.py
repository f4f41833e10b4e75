# SPDX-License-Identifier: Apache-2.0
"""The client's journal on the host's side of the machine: what was acknowledged, line by line.

    KIND RECORD-IN-HEXADECIMAL STATUS EPOCH

A line is written when its answer has come, with a write that ends when the host has it: so whatever
a line says was acknowledged before the power went, and no cut of the machine takes a line back. The
last line may be cut off.
"""

import collections
import os

import giro_wire as wire

Told = collections.namedtuple("Told", "kind record status epoch")


def read(path):
    """{id: Told} of a journal's whole lines; no file is an empty journal."""
    told = {}
    try:
        text = path.read_text()
    except FileNotFoundError:
        return told
    for line in text[:text.rfind("\n") + 1].splitlines():
        kind, record, status, epoch = line.split()
        record = bytes.fromhex(record)
        told[wire.transfer_id(record)] = Told(int(kind), record, status, int(epoch))
    return told


def drop_cut_line(path):
    """After a cut, so that the next boot's lines do not go on where a cut one ends."""
    text = path.read_bytes()
    os.truncate(path, text.rfind(b"\n") + 1)


class Writer:
    """Appends; lines of one reply go out together."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lines = []

    def add(self, kind, record, status, epoch):
        self._lines.append(f"{kind} {record.hex()} {status} {epoch}\n")

    def flush(self):
        if self._lines:
            data = "".join(self._lines).encode()
            assert os.write(self._file, data) == len(data), "the journal was not written whole"
            self._lines.clear()
