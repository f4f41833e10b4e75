#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Damages a real log in every way at every boundary, and shows that nobody believes it.

    tests/crash/damage.py [--samples N] [--all] [--seed S]

A log of small segments is written by a real engine, with several incarnations, killed and stopped.
Three states of it are damaged, one place at a time: as a clean stop left it, as a kill left it, and
with a torn tail. Bits and bytes are changed, sectors zeroed, pages written to the wrong place, files
cut, lengthened and removed. Each time `giro-replay verify` and `balances`, built with ASan and UBSan,
must give exactly the state that was committed, or, where no later block witnesses the damaged one
(docs/log-format.md, "What cannot be detected"), the state before it; or refuse, naming the place and
the remedy. For a sample the engine's own recovery (tests/crash/recover.c, ASan too) and the engine
itself must do the same.

GIRO_DAMAGE_BUILD overrides the sanitized build folder; see crash.py for the rest. The last line is
"damage: ...".
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import re
import secrets
import shutil
import subprocess
import sys

import ground
import network
from crash import check_journal, Verdict
from dump import Dump
from engine import Engine, wait_until
from load import Load
from logbytes import BLOCK_FIELDS, DATA, Log, PAGE, ROW, SEGMENT_FIELDS

SAMPLES = 150
# Blocks of which every boundary is damaged; all of them with --all.
BOUNDARY_BLOCKS = 60
RECOVERIES = 60
STARTS = 8
WORKERS = 2
SHARDS = 2
SEGMENT_MIB = 1
SETTINGS = {"engine_shards": SHARDS, "shard_accounts": 200, "shard_ids_per_second": 2000,
            "shard_window_s": 10, "shard_ahead_s": 5, "shard_try_timeout_ms": 0,
            "log_segment_mib": SEGMENT_MIB, "log_buffer_kib": 104}
BUILD = pathlib.Path(os.environ.get("GIRO_DAMAGE_BUILD", f"{network.BUILD}-damage"))
ENVIRONMENT = os.environ | {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99:print_stacktrace=1"}

SOUND, TORN, CORRUPT, DIVERGED, UNREADABLE = 0, 2, 3, 4, 5

# A place, as every refusal must name it, and what to do about it.
PLACE = re.compile(r"block \d+.*segment \d+.*offset \d+|segment \d+|\.wal")
REMEDY = re.compile(r"[Rr]estore|backup|replica|giro that wrote|find out with|Remove|missing")


def build():
    """giro-replay and recover under ASan and UBSan."""
    steps = [["ninja", "-C", BUILD, "replay/giro-replay", "tests/crash/recover"]]
    if not (BUILD / "build.ninja").exists():
        steps.insert(0, ["meson", "setup", BUILD, network.ROOT, "-Dtests=true", "-Dwerror=true",
                         "-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined",
                         "-Db_lundef=false"])
    for step in steps:
        done = subprocess.run(step, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit(f"{done.stdout[-4000:]}\ndamage: the sanitized build in {BUILD} failed")


def run(*command):
    return subprocess.run(list(map(str, command)), text=True, capture_output=True, timeout=300,
                          env=ENVIRONMENT)


def replay(command, log, *arguments):
    done = run(BUILD / "replay/giro-replay", command, log, *arguments)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr[:3000]
    assert done.returncode in (SOUND, TORN, CORRUPT, DIVERGED, UNREADABLE), (
        f"{command} ended with {done.returncode}: {done.stderr[-500:]}")
    return done


def recover(log):
    done = run(BUILD / "tests/crash/recover", log, SEGMENT_MIB, SHARDS, SETTINGS["shard_accounts"],
               SETTINGS["shard_ids_per_second"], SETTINGS["shard_window_s"],
               SETTINGS["shard_ahead_s"])
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr[:3000]
    assert done.returncode in (0, 1), f"recover ended with {done.returncode}: {done.stderr[-500:]}"
    return done


def state_of(text):
    """The lines "id,balance" of an output, in order."""
    return tuple(sorted(line for line in text.splitlines() if line and line[0].isdigit()))


# The logs.

INCARNATIONS = ("kill", "kill", "stop", "kill")
ANSWERS = 2000  # in each
IN_FLIGHT = 200  # datagrams: many, so that few blocks fill several segments


def write_logs(seed):
    """{name: folder} of the three states, from one engine's life; and the client's journal."""
    logs = {}
    with Engine(**SETTINGS) as engine:
        load = Load(SHARDS, seed, SETTINGS["shard_window_s"] * 1000, IN_FLIGHT)
        load.open_accounts(6)
        load.start()
        for number, end in enumerate(INCARNATIONS):
            if number > 0:
                engine.start()
            goal = load.answers + ANSWERS
            wait_until(lambda: load.answers >= goal or not load.alive(), 120, "the load's answers")
            getattr(engine, end)()
            logs["closed" if end == "stop" else "killed"] = engine.log
            if end == "stop":
                logs["closed"] = keep(engine.log, "closed")
        load.end()
        load.client.close()
        logs["killed"] = keep(engine.log, "killed")
    logs["torn"] = tear(keep(logs["killed"], "torn"))
    return logs, load.journal


def keep(log, name):
    return pathlib.Path(shutil.copytree(log, ground.scratch("logs-" + name), dirs_exist_ok=True))


def tear(folder):
    """What a power cut leaves where a kill does not: the last block without its last sectors."""
    log = Log(folder)
    last = log.blocks[-1]
    ends = [end for start, end in last.sections if end > start]
    with open(log.files[last.segment], "r+b") as file:
        if ends:
            file.seek((max(ends) - 1) // 512 * 512)
            file.write(bytes(last.end - file.tell()))
        else:  # nothing but a header: a sector that is neither the old nor the new one
            file.seek(last.start)
            file.write(b"\xa5" * 512)
    return folder


# The damages.

# edit: "write" (data at the offset), "cut" (the file to `offset` bytes), "remove" (the file)
Case = collections.namedtuple("Case", "base segment offset edit data text")


class Base:
    """One sound log and what it says."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.log = Log(folder)
        verify = replay("verify", folder)
        self.end = verify.returncode
        blocks = int(re.search(r"(\d+) blocks", verify.stdout)[1])
        assert self.end == (TORN if name == "torn" else SOUND), verify.stdout + verify.stderr
        assert blocks == len(self.log.blocks) or name == "torn"
        self.log.cut(blocks)
        self.states = {blocks: state_of(replay("balances", folder, "--csv").stdout)}

    def state_before(self, seq):
        """The balances that blocks 0 to seq - 1 give."""
        if seq not in self.states:
            epoch = self.log.blocks[seq - 1].epoch if seq > 0 else 0
            self.states[seq] = state_of(replay("balances", self.folder, "--csv", "--at-epoch",
                                               epoch).stdout)
        return self.states[seq]

    def expected(self, case):
        """How many blocks must be left; None: it must be refused."""
        used = self.log.used(case.segment) > 0
        if case.edit != "write":
            # A prepared segment that was not begun may be missing behind the last one.
            return None if used or case.edit == "cut" or (
                case.segment + 1 < len(self.log.files)) else len(self.log.blocks)
        seq = self.log.hit(case.segment, case.offset)
        if seq is None:
            return len(self.log.blocks)
        return None if self.log.witnessed(seq) else seq


def alter(base, segment, offset, chance):
    """One bit or one byte of a segment."""
    old = base.log.bytes[segment][offset]
    if chance.random() < 0.6:
        bit = chance.randrange(8)
        new, what = old ^ 1 << bit, f"bit {bit} of byte {offset}"
    else:
        new = old ^ chance.randrange(1, 256)
        what = f"byte {offset} from {old:#x} to {new:#x}"
    return Case(base.name, segment, offset, "write", bytes([new]),
                f"{base.name}: segment {segment}, {what}")


def overwrite(base, segment, offset, data, what):
    return Case(base.name, segment, offset, "write", data,
                f"{base.name}: segment {segment}, offset {offset}: {what}")


def field_cases(base, blocks, chance):
    """Every field of the headers of the segments that these blocks begin in, and of some of them."""
    log = base.log
    for segment in sorted({block.segment for block in blocks}):
        yield from (alter(base, segment, offset, chance) for offset in SEGMENT_FIELDS)
    chosen = {block.seq for block in blocks[:1] + blocks[-2:] if block.type == DATA}
    for special in ([block.seq for block in blocks if block.type != DATA],
                    [block.seq for block in blocks if block.start == PAGE],
                    [block.seq for block in blocks]):
        chosen |= set(chance.sample(special, min(2, len(special))))
    for seq in sorted(chosen):
        block = log.blocks[seq]
        rows = [128 + ROW * row + field for row in range(3) for field in (0, 8, 16, 31)]
        for offset in (*BLOCK_FIELDS, *rows):
            yield alter(base, block.segment, block.start + offset, chance)


def boundary_cases(base, blocks, chance):
    """The bytes at both sides of every boundary of these blocks."""
    for block in blocks:
        offsets = {block.start, block.start + PAGE - 1, block.end - 1, block.end}
        for start, end in block.sections:
            offsets |= {start, start + 7, end - 1, end} if end > start else set()
        for offset in sorted(offset for offset in offsets if offset < base.log.segment_bytes):
            yield alter(base, block.segment, offset, chance)


def page_cases(base, blocks, chance):
    """Sectors and pages that are gone, or that hold another place's content."""
    log = base.log
    for block in blocks:
        data = log.bytes[block.segment]
        sector = chance.randrange(block.start, block.end) // 512 * 512
        if any(data[sector:sector + 512]):
            yield overwrite(base, block.segment, sector, bytes(512), "a sector zeroed")
        yield overwrite(base, block.segment, block.start, bytes(PAGE), "the header page zeroed")
        other = chance.choice(log.blocks)
        if other.seq != block.seq:
            yield overwrite(base, block.segment, block.start,
                            log.bytes[other.segment][other.start:other.start + PAGE],
                            f"the header page of block {other.seq}")
        yield overwrite(base, block.segment, block.start, b"\xff" * (block.end - block.start),
                        f"block {block.seq} filled with ones")


def special_blocks(blocks, count, chance):
    """Those where something begins or ends, and some others: `count` or a few more."""
    ends = {block.seq for block in blocks if block.type != DATA or block.start == PAGE}
    ends |= {block.seq - 1 for block in blocks if block.start == PAGE} | {blocks[-1].seq}
    others = [block for block in blocks if block.seq not in ends]
    others = chance.sample(others, min(len(others), max(0, count - len(ends))))
    return [block for block in blocks if block.seq in ends] + others


def file_cases(base, segments, chance):
    """Files cut at boundaries and anywhere, lengthened, removed."""
    log = base.log
    size = log.segment_bytes
    for segment in segments:
        lengths = {0, 1, 512, PAGE - 1, PAGE, size - PAGE, size - 512, size - 1, size + 1,
                   size + PAGE, chance.randrange(size)}
        inside = [block for block in log.blocks if block.segment == segment]
        for block in chance.sample(inside, min(3, len(inside))) + inside[-2:]:
            lengths |= {block.start, block.start + PAGE, block.end - 1, block.end}
        for length in sorted(lengths - {size}):
            yield Case(base.name, segment, length, "cut", None,
                       f"{base.name}: segment {segment}, {length} bytes long")
        yield Case(base.name, segment, 0, "remove", None,
                   f"{base.name}: segment {segment} removed")


def unused_cases(base, segments, chance):
    """Where no block is: behind the blocks of each segment, and in prepared segments."""
    log = base.log
    size = log.segment_bytes
    for segment in segments:
        end = log.used(segment)
        for offset in sorted({end, end + 8, min(end + PAGE, size - 1), size - 1,
                              chance.randrange(min(end, size - 1), size)}):
            if end <= offset < size:
                yield alter(base, segment, offset, chance)


def sampled_cases(base, count, chance):
    for _ in range(count):
        segment = chance.choice([each for each in range(len(base.log.files)) if base.log.used(each)])
        yield alter(base, segment, chance.randrange(base.log.used(segment)), chance)


def cases_of(base, options, chance):
    log = base.log
    blocks = log.blocks
    segments = list(range(len(log.files)))
    samples = options.samples
    if base.name != "killed":  # the same log, but for its end
        blocks = blocks[-4:]
        segments = [blocks[-1].segment, blocks[-1].segment + 1, segments[-1]]
        samples //= 5
    yield from field_cases(base, blocks, chance)
    yield from boundary_cases(
        base, blocks if options.all else special_blocks(blocks, BOUNDARY_BLOCKS, chance), chance)
    yield from page_cases(base, chance.sample(blocks, min(len(blocks), 15)) + blocks[-2:], chance)
    yield from file_cases(base, segments, chance)
    yield from unused_cases(base, segments, chance)
    yield from sampled_cases(base, samples, chance)


# Trying one.


class Bench:
    """A copy of each log to damage, one for each thread."""

    def __init__(self, bases, number):
        self.bases = bases
        self.folders = {name: keep(base.folder, f"{name}-{number}") for name, base in bases.items()}

    def _file(self, case):
        return self.folders[case.base] / self.bases[case.base].log.files[case.segment].name

    def damage(self, case):
        if case.edit == "remove":
            self._file(case).unlink()
        elif case.edit == "cut":
            os.truncate(self._file(case), case.offset)
        else:
            with open(self._file(case), "r+b") as file:
                file.seek(case.offset)
                file.write(case.data)

    def mend(self, case):
        data = self.bases[case.base].log.bytes[case.segment]
        if case.edit != "write":
            self._file(case).write_bytes(data)
            return
        with open(self._file(case), "r+b") as file:
            file.seek(case.offset)
            file.write(data[case.offset:case.offset + len(case.data)])

    def renew(self, name):
        self.folders[name] = keep(self.bases[name].folder, self.folders[name].name[5:])

    def try_replay(self, case):
        """What came of it: "refused", "whole" or "cut"; an AssertionError if that is wrong."""
        base = self.bases[case.base]
        verify = replay("verify", self.folders[case.base])
        balances = replay("balances", self.folders[case.base], "--csv")
        left = base.expected(case)
        if left is None:
            assert verify.returncode in (CORRUPT, DIVERGED, UNREADABLE), (
                f"verify ended with {verify.returncode}:\n{verify.stdout}")
            check_refusal(verify.stderr)
            assert balances.returncode == verify.returncode and not balances.stdout, (
                f"balances ended with {balances.returncode}:\n{balances.stdout[:300]}")
            return "refused"
        whole = left == len(base.log.blocks)
        # Anything but zeros where the next block goes looks like the tail of one.
        ends = (base.end, TORN) if whole else (SOUND, TORN)
        assert verify.returncode in ends, f"verify: {verify.returncode}\n{verify.stderr}"
        assert balances.returncode in ends, f"balances: {balances.returncode}\n{balances.stderr}"
        check_state(base, left, balances.stdout)
        return "whole" if whole else "cut"

    def try_recovery(self, case):
        """The engine's recovery on the same damage; it writes, so the copy is made anew."""
        base = self.bases[case.base]
        folder = self.folders[case.base]
        done = recover(folder)
        left = base.expected(case)
        if left is None:
            assert done.returncode == 1 and not done.stdout, f"recovered:\n{done.stdout[:300]}"
            check_refusal(done.stderr)
        else:
            assert done.returncode == 0, f"refused: {done.stderr}"
            check_state(base, left, done.stdout)
            again = replay("verify", folder)
            # OPEN may be shorter than what it was written over: the rest looks like a torn tail.
            assert again.returncode in (SOUND, TORN), f"then verify: {again.returncode}"
            check_state(base, left, replay("balances", folder, "--csv").stdout)

    def try_engine(self, case):
        """The engine itself."""
        base = self.bases[case.base]
        left = base.expected(case)
        engine = Engine(log=self.folders[case.base], **SETTINGS)
        engine.launch()
        try:
            wait_until(lambda: "\nready" in "\n" + engine.screen() or not engine.running(), 120,
                       "the engine to start or to refuse")
            if left is None:
                assert not engine.running(), "the engine started"
                assert engine.wait() == 1, engine.stderr()
                check_refusal(engine.stderr())
                return
            assert engine.running(), engine.stderr()[-1000:]
            engine.stop()
            engine.verify()
            epoch = base.log.blocks[left - 1].epoch
            check_state(base, left, engine.replay("balances", "--csv", "--at-epoch", epoch).stdout)
        finally:
            engine.kill()


def check_refusal(text):
    assert PLACE.search(text) and REMEDY.search(text), f"no place or no remedy: {text!r}"


def check_state(base, left, text):
    expected = set(base.state_before(left))
    found = set(state_of(text))
    assert found == expected, f"other balances: {sorted(found ^ expected)[:6]}"


# All of it.


def play(cases, benches, trial, results):
    """Tries cases on all benches at once; counts what came of them, prints those that failed."""
    def work(bench, share):
        for case in share:
            bench.damage(case)
            try:
                outcome = trial(bench, case)
            except AssertionError as wrong:
                outcome = "wrong"
                print(f"     {case.text} ({case.edit}): {wrong}", flush=True)
            results[outcome] += 1
            if trial is Bench.try_replay:
                bench.mend(case)
            else:
                bench.renew(case.base)

    with concurrent.futures.ThreadPoolExecutor(len(benches)) as pool:
        shares = [cases[number::len(benches)] for number in range(len(benches))]
        for done in [pool.submit(work, bench, share) for bench, share in zip(benches, shares)]:
            done.result()


def outcome_of(trial):
    def tried(bench, case):
        trial(bench, case)
        left = bench.bases[case.base].expected(case)
        return "refused" if left is None else (
            "whole" if left == len(bench.bases[case.base].log.blocks) else "cut")
    return tried


def sample(cases, bases, count, chance):
    """Some of each kind of outcome."""
    kinds = {}
    for case in cases:
        left = bases[case.base].expected(case)
        kinds.setdefault((case.base, case.edit, left is None), []).append(case)
    share = -(-count // len(kinds))
    chosen = [case for group in kinds.values() for case in chance.sample(group, min(share, len(group)))]
    chance.shuffle(chosen)
    return chosen[:count]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=SAMPLES, help="damages at random places")
    parser.add_argument("--all", action="store_true", help="the boundaries of every block")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    print(f"damage: seed {seed} (the log itself is another one in every run)")
    ground.take()
    build()
    tally = ground.Cases("damage")
    chance = random.Random(seed)
    logs, journal = write_logs(seed)
    bases = {name: Base(name, folder) for name, folder in logs.items()}
    with tally.case("the undamaged log holds all that was acknowledged"):
        check_journal(journal, Dump(logs["killed"]), Verdict())
        for base in bases.values():
            log = base.log
            print(f"     {base.name}: {len(log.blocks)} blocks in "
                  f"{sum(log.used(each) > 0 for each in range(len(log.files)))} of "
                  f"{len(log.files)} segments, incarnation {log.blocks[-1].incarnation}, "
                  f"{sum(not log.witnessed(block.seq) for block in log.blocks[-20:])} blocks "
                  "without a witness")
    cases = [case for base in bases.values() for case in cases_of(base, options, chance)]
    benches = [Bench(bases, number) for number in range(WORKERS)]
    total = collections.Counter()
    for name, chosen, trial, some in (
            ("giro-replay", cases, Bench.try_replay, benches),
            ("recovery", sample(cases, bases, RECOVERIES, chance), outcome_of(Bench.try_recovery),
             benches),
            ("engine", sample(cases, bases, STARTS, chance), outcome_of(Bench.try_engine),
             benches[:1])):
        results = collections.Counter()
        with tally.case(f"{name}: {len(chosen)} damages, each seen or harmless"):
            play(chosen, some, trial, results)
            print(f"     {name}: " + ", ".join(f"{what} {count}" for what, count in
                                               sorted(results.items())))
            assert not results["wrong"] and results["refused"], f"{results['wrong']} wrong"
        total += results
    print(tally.line())
    print(f"damage: {sum(total.values())} damages, {total['refused']} refused, {total['whole']} "
          f"harmless, {total['cut']} taken for a torn tail, {total['wrong']} wrong")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
