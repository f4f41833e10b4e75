# SPDX-License-Identifier: Apache-2.0
"""What a log says, read from the text of `giro-replay dump` and computed again without the engine's
code: the outcome of every id, and every balance."""

import collections
import subprocess

import giro_wire as wire
import network

# status: final, by name; PENDING where the log ends before the outcome. epoch: that of the outcome.
Outcome = collections.namedtuple("Outcome", "record status epoch")


class Dump:
    def __init__(self, log):
        self.outcomes = {}  # id -> Outcome
        self.doubled = []  # ids with more than one record
        self.blocks = self.opens = 0
        self.crossed = 0  # transfers between shards
        self._pending = {}  # (coordinator, peer, seq) -> [id, record, status]
        process = subprocess.Popen([network.BUILD / "replay/giro-replay", "dump", log], text=True,
                                   stdout=subprocess.PIPE)
        for line in process.stdout:
            self._line(line)
        assert process.wait() in (0, 2), f"giro-replay dump ended with {process.returncode}"

    def _line(self, line):
        words = line.split()
        if line.startswith("block "):
            self.blocks += 1
            self.opens += words[2] == "OPEN"
            self._epoch = int(words[4])
        elif line.startswith("  shard "):
            self._shard = int(words[1].rstrip(":"))
        elif words[0] in ("TRANSFER", "ACCOUNT"):
            getattr(self, f"_{words[0].lower()}")(words[1], _fields(words[2:]))
        elif words[0] == "VOTE":
            self._pending[self._row(words[2:])][2] = words[1]
        elif words[0] == "TIMEOUT":
            self._pending[self._row(words[1:])][2] = "TRY_TIMEOUT"
        elif words[0] == "ACK":
            identity, record, status = self._pending.pop(self._row(words[1:]))
            self.outcomes[identity] = Outcome(record, status, self._epoch)

    def _row(self, words):
        fields = _fields(words)
        return self._shard, int(fields["shard"]), int(fields["seq"])

    def _decided(self, identity, record, status):
        if identity in self.outcomes:
            self.doubled.append(identity)
        self.outcomes[identity] = Outcome(record, status, self._epoch)

    def _transfer(self, status, fields):
        identity = int(fields["id"])
        record = wire.transfer_record(identity, *(int(fields[name]) for name in (
            "debit", "credit", "amount", "ledger", "code")))
        self._decided(identity, record, status)
        if status == "PENDING":
            self.crossed += 1
            row = (self._shard, int(fields["shard"]), int(fields["seq"]))
            self._pending[row] = [identity, record, status]

    def _account(self, status, fields):
        identity = int(fields["id"])
        self._decided(identity, wire.operation_record(identity, *(int(fields[name]) for name in (
            "account", "action", "ledger", "floor"))), status)


def _fields(words):
    """["id", "7", "to", "shard", "1"] -> {"id": "7", "shard": "1"}"""
    words = [word for word in words if word != "to"]
    return dict(zip(words[::2], words[1::2]))


def balances(accounts, movements):
    """{account: balance} after transfer records that were done."""
    result = dict.fromkeys(accounts, 0)
    for record in movements:
        debit, credit, amount = wire.transfer_movement(record)
        result[debit] -= amount
        result[credit] += amount
    return result
