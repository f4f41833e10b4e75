#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the golden log, its archive, checkpoint and summary by docs/log-format.md and docs/protocol.md.

Nothing of giro: a decoder made from the documents alone, with zstd's own program to decompress. It
folds the records of the log into balances of its own, and holds checkpoint and summary against them.

    read_history.py [FOLDER]            prints what is there
    read_history.py --check [FOLDER]    only ends with an error if anything does not fit
"""
import hashlib
import pathlib
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "log"), str(HERE.parents[1] / "e2e")]

import giro_wire  # noqa: E402 XXH3-64 of any length
import make_log  # noqa: E402 XXH3-128

PAGE = 4096
PENDING = 21
RECORD_BYTES = {1: 72, 2: 72, 3: 56, 4: 8, 5: 8, 6: 8, 7: 8, 8: 8}
COORDINATOR = {1: "trying", 2: "confirming", 3: "cancelling"}
PARTICIPANT = {1: "yes", 2: "no", 3: "confirmed", 4: "cancelled", 5: "mark"}


def u64s(data, at, count):
    return struct.unpack_from(f"<{count}Q", data, at)


def unzstd(data):
    return subprocess.run(["zstd", "-dqc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def read_archive(file):
    """(log, number, content) of the segment in an archive file, put together frame by frame."""
    data = file.read_bytes()
    assert struct.unpack_from("<II", data) == (0x184D2A50, 120)
    assert u64s(data, 8, 1)[0] == giro_wire.xxh3_64(data[16:128]), "the header's checksum"
    assert data[16:24] == b"gro-arc1"
    version, frames = struct.unpack_from("<II", data, 24)
    log_id, segment, segment_bytes, low, high = u64s(data, 32, 5)
    assert version == 1 and data[72:128] == bytes(56) and file.name == f"{segment:020}.wal.zst"
    # The seek table, from its end.
    count, descriptor, seekable = struct.unpack("<IBI", data[-9:])
    assert (count, descriptor, seekable) == (frames + 1, 0, 0x8F92EAB1)
    table = len(data) - 9 - 8 * count - 8
    assert struct.unpack_from("<II", data, table) == (0x184D2A5E, 8 * count + 9)
    content, at = b"", 0
    for row in range(count):
        packed, size = struct.unpack_from("<II", data, table + 8 + 8 * row)
        plain = unzstd(data[at:at + packed]) if row else b""
        assert len(plain) == size and (row or packed == 128)
        content, at = content + plain, at + packed
    assert at == table and len(content) == segment_bytes and unzstd(data) == content
    assert make_log.xxh3_128(content) == (low, high), "the segment's hash"
    return log_id, segment, content


class Shard:
    """Books kept from the records alone."""

    def __init__(self):
        self.accounts = {}  # id -> [balance, held, incoming, floor, ledger]
        self.taken = {}  # (peer, seq) -> [state, transfer, debit, credit, amount], as coordinator
        self.given = {}  # (peer, seq) -> [state, transfer, credit, amount], as participant

    def transfer(self, peer, status, seq, body):
        debit, credit = body[16:32], body[32:48]
        amount, = u64s(body, 48, 1)
        if status == 0:
            self.accounts[debit][0] -= amount
            self.accounts[credit][0] += amount
        elif status == PENDING:
            self.accounts[debit][1] += amount
            self.taken[peer, seq] = ["trying", body[:16], debit, credit, amount]

    def operation(self, status, body):
        floor, ledger, action = struct.unpack_from("<qIH", body, 32)
        assert action == 1 and status == 0, "no others are in this log"
        self.accounts[body[16:32]] = [0, 0, 0, floor, ledger]

    def try_credit(self, peer, vote, seq, body):
        amount, = u64s(body, 0, 1)
        credit = body[24:40]
        self.given[peer, seq] = ["yes" if vote == 0 else "no", body[8:24], credit, amount]
        if vote == 0:
            self.accounts[credit][2] += amount

    def decide(self, peer, confirm, seq):
        row = self.taken[peer, seq]
        self.accounts[row[2]][1] -= row[4]
        if confirm:
            self.accounts[row[2]][0] -= row[4]
        row[0] = "confirming" if confirm else "cancelling"

    def finish_credit(self, peer, confirm, seq):
        row = self.given[peer, seq]
        if row[0] == "yes":
            self.accounts[row[2]][2] -= row[3]
        if confirm:
            self.accounts[row[2]][0] += row[3]
        row[0] = "confirmed" if confirm else "cancelled"

    def apply(self, kind, peer, arg, seq, body):
        if kind == 1:
            self.transfer(peer, arg, seq, body)
        elif kind == 2:
            self.operation(arg, body)
        elif kind == 3:
            self.try_credit(peer, arg, seq, body)
        elif kind in (4, 8):
            self.decide(peer, kind == 4 and arg == 0, seq)
        elif kind in (5, 6):
            self.finish_credit(peer, kind == 5, seq)
        else:
            del self.taken[peer, seq]


def apply_section(shard, data):
    at = 0
    while at < len(data):
        kind, peer, arg, seq = struct.unpack_from("<BBHI", data, at)
        shard.apply(kind, peer, arg, seq, data[at + 8:at + RECORD_BYTES[kind]])
        at += RECORD_BYTES[kind]


def read_blocks(segments):
    """(header page, block with payload, place) of every block, chain and hashes checked."""
    previous, seq = (0, 0), 0
    for number in sorted(segments):
        data, at = segments[number], PAGE
        while data[8:16] == b"gro-seg1" and data[at + 8:at + 16] == b"gro-blk1":
            page = data[at:at + PAGE]
            assert u64s(page, 0, 1)[0] == make_log.xxh3_64(page[8:])
            payload_bytes, = u64s(page, 88, 1)
            payload = data[at + PAGE:at + PAGE + payload_bytes]
            assert u64s(page, 48, 1)[0] == seq and u64s(page, 96, 2) == previous
            assert make_log.xxh3_128(payload) == u64s(page, 112, 2)
            yield page, page + payload, (number, at)
            previous, seq = make_log.xxh3_128(page), seq + 1
            at += PAGE + payload_bytes


def fold(segments, last):
    """Books, header page and place of block `last`, and the SHA-256 of all up to it."""
    shards, digest = {}, hashlib.sha256()
    for page, block, place in read_blocks(segments):
        digest.update(block)
        for row in range(struct.unpack_from("<I", page, 20)[0]):
            start, size = u64s(page, 128 + 32 * row, 2)
            apply_section(shards.setdefault(row, Shard()), block[start:start + size])
        if u64s(page, 48, 1)[0] == last:
            return shards, page, place, digest.hexdigest()
    raise AssertionError(f"block {last} is not in the log")


class State:
    """One shard's part of a checkpoint."""

    def __init__(self, data, place):
        self.data, self.at = data, 0
        self.accounts, self.outcomes, self.taken, self.given = {}, {}, {}, {}
        self.epoch, self.now, changed, *numbers = u64s(data, 0, 7)
        assert (self.epoch, self.now) == (place["epoch"], place["time_ms"])
        assert changed <= self.epoch
        links, generations = struct.unpack_from("<II", data, 56)
        self.at = 64
        self.links = [u64s(data, self.take(24), 3) for _ in range(links)]
        promised = sum(u64s(data, self.take(16), 2)[1] for _ in range(generations))
        for count, read in zip(numbers, (self.account, self.outcome, self.coordinator,
                                         self.participant)):
            for _ in range(count):
                read()
        assert self.at == len(data), "it is not as long as it says"
        assert promised == len(self.taken)

    def take(self, size):
        self.at += size
        return self.at - size

    def account(self):
        at = self.take(56)
        balance, held, incoming, floor, ledger, flags = struct.unpack_from("<qQQqII", self.data,
                                                                           at + 16)
        assert flags == 0
        self.accounts[self.data[at:at + 16]] = [balance, held, incoming, floor, ledger]

    def outcome(self):
        at = self.take(32)
        content, outcome = u64s(self.data, at + 16, 2)
        assert outcome >> 8 <= self.epoch and content
        self.outcomes[self.data[at:at + 16]] = outcome & 255

    def coordinator(self):
        at = self.take(96)
        transfer = self.data[at:at + 64]
        seq, content, started = u64s(self.data, at + 64, 3)
        peer, kind, _, reserved = struct.unpack_from("<IBBH", self.data, at + 88)
        assert content == giro_wire.xxh3_64(transfer) and started <= self.now and reserved == 0
        assert self.links[peer][1] <= seq < self.links[peer][0]
        self.taken[peer, seq] = [COORDINATOR[kind], transfer[:16], transfer[16:32],
                                 transfer[32:48], u64s(transfer, 48, 1)[0]]

    def participant(self):
        at = self.take(56)
        seq, amount = u64s(self.data, at + 32, 2)
        peer, kind, _, reserved = struct.unpack_from("<IBBH", self.data, at + 48)
        assert seq >= self.links[peer][2] and reserved == 0
        self.given[peer, seq] = [PARTICIPANT[kind], self.data[at:at + 16],
                                 self.data[at + 16:at + 32], amount]


def read_checkpoint(file):
    """Its place in the log, the hash of its block, the states and their digests."""
    data = file.read_bytes()
    page = data[:PAGE]
    assert u64s(page, 0, 1)[0] == make_log.xxh3_64(page[8:]) and page[8:16] == b"gro-ckp1"
    version, shards = struct.unpack_from("<II", page, 16)
    names = ("log", "segment", "offset", "block", "epoch", "time_ms", "incarnation")
    place = dict(zip(names, u64s(page, 24, 7)))
    payload_bytes, = u64s(page, 96, 1)
    assert version == 1 and file.name == f"{place['block']:020}.checkpoint"
    assert len(data) == PAGE + payload_bytes
    assert make_log.xxh3_128(data[PAGE:]) == u64s(page, 104, 2)
    at, states, digests = PAGE, [], []
    for row in range(shards):
        size, low, high = u64s(page, 1024 + 48 * row, 3)
        states.append(State(data[at:at + size], place))
        digests.append(f"{high:016x}{low:016x}")
        at += size
    assert at == len(data)
    return place, u64s(page, 80, 2), states, digests


def check_states(states, books):
    """The checkpoint has what the records give; of participants' rows those not forgotten."""
    for index, state in enumerate(states):
        shard = books[index]
        assert state.accounts == shard.accounts, f"the accounts of shard {index}"
        assert state.taken == shard.taken, f"coordinator's rows of shard {index}"
        for key, row in state.given.items():
            assert shard.given[key] == row, f"participant's row {key} of shard {index}"
    found = {row[0] for state in states for part in (state.taken, state.given)
             for row in part.values()}
    assert {"trying", "confirming", "yes"} <= found, f"too few states: {found}"


def sums(states):
    """{ledger: [accounts, in credit, balances, in flight]}"""
    ledgers = {}
    for index, state in enumerate(states):
        for balance, _, _, _, ledger in state.accounts.values():
            row = ledgers.setdefault(ledger, [0, 0, 0, 0])
            row[0] += 1
            row[1] += max(balance, 0)
            row[2] += balance
        for (peer, seq), (kind, _, debit, _, amount) in state.taken.items():
            given = states[peer].given.get((index, seq))
            if kind == "confirming" and (given is None or given[0] != "confirmed"):
                ledgers[state.accounts[debit][4]][3] += amount
    return ledgers


def check_summary(text, place, page, sha256, digests, states):
    body, checksum = text[:text.index("checksum ")], text[text.index("checksum "):]
    assert checksum == f"checksum {giro_wire.xxh3_64(body.encode()):016x}\n"
    low, high = make_log.xxh3_128(page)
    lines = ["giro-summary 1", f"log {place['log']:016x}"]
    lines += [f"{name} {place[name]}" for name in
              ("block", "epoch", "time_ms", "incarnation", "segment", "offset")]
    lines += [f"chain {high:016x}{low:016x}", f"sha256 {sha256}", f"shards {len(digests)}"]
    lines += [f"digest {index} {digest}" for index, digest in enumerate(digests)]
    lines += [f"pending {sum(len(state.taken) for state in states)}"]
    ledgers = sums(states)
    lines += [f"ledgers {len(ledgers)}"]
    for ledger, (accounts, credit, balances, flight) in sorted(ledgers.items()):
        assert balances + flight == 0
        lines.append(f"ledger {ledger} accounts {accounts} credit {credit} balances {balances} "
                     f"flight {flight}")
    assert body.splitlines() == lines, f"{body}\nis not\n" + "\n".join(lines)


def show(place, states):
    print(place)
    for index, state in enumerate(states):
        print(f"shard {index}: {len(state.outcomes)} outcomes")
        for account, row in state.accounts.items():
            print(f"  account {int.from_bytes(account, 'little')}: {row}")
        for part in ("taken", "given"):
            for (peer, seq), row in getattr(state, part).items():
                print(f"  {part} {seq}, shard {peer}: {row[0]} {row[-1]}")


def main(arguments):
    quiet = "--check" in arguments
    folders = [argument for argument in arguments if argument != "--check"]
    folder = pathlib.Path(folders[0]) if folders else HERE
    segments, log_id = {}, 0
    for file in sorted(folder.glob("archive/*.wal.zst")):
        log_id, number, segments[number] = read_archive(file)
    segments |= {int(file.stem): file.read_bytes() for file in folder.glob("*.wal")}
    assert sorted(segments) == list(range(len(segments)))
    file, = folder.glob("*.checkpoint")
    place, block_hash, states, digests = read_checkpoint(file)
    books, page, found, sha256 = fold(segments, place["block"])
    assert found == (place["segment"], place["offset"]) and log_id == place["log"]
    assert make_log.xxh3_128(page) == block_hash
    check_states(states, books)
    check_summary((folder / "summary").read_text(), place, page, sha256, digests, states)
    if not quiet:
        show(place, states)


if __name__ == "__main__":
    main(sys.argv[1:])
