# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and trimming beside a running engine, killed at any moment; and starts from what is left."""

import json
import random
import signal
import subprocess
import time

import network
from client import Client
from engine import Engine, wait_until
from test_restart import Load, check_outcomes, open_wallets

KILLS = 24
ANSWERED_S = 60
SHARDS = 2


class Beside:
    """A giro-replay that runs beside the engine."""

    def __init__(self, engine, command, *arguments):
        self.process = subprocess.Popen(
            [network.BUILD / "replay/giro-replay", command, engine.log, *map(str, arguments)],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=network.die_with_parent)

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def end(self, *statuses):
        output, _ = self.process.communicate(timeout=120)
        assert self.process.returncode in statuses, (self.process.returncode, output[-2000:])
        return output


def answered(load, more):
    goal = load.answered + more
    wait_until(lambda: load.answered >= goal, ANSWERED_S, "load to be answered")


def segments(engine):
    return sorted(int(file.stem) for file in engine.log.glob("*.wal"))


def checkpoints(engine):
    return sorted(engine.log.glob("*.checkpoint"))


def report(engine, *arguments):
    """What verify says of the whole log, archive included, as a dictionary. Beside a running engine it
    may end in a block that is just being written."""
    return json.loads(engine.replay("verify", "--json", *arguments).stdout)


def follow(engine, every):
    return Beside(engine, "checkpoint", "--follow", "--every", every, "--keep", 3)


def check_follower(engine, load):
    """It writes checkpoints as the load goes on, each what the log gives."""
    beside = follow(engine, 20)
    for _ in range(3):
        seen = set(checkpoints(engine))
        wait_until(lambda: set(checkpoints(engine)) - seen, ANSWERED_S, "the next checkpoint")
        answered(load, 50)
    beside.process.send_signal(signal.SIGTERM)
    text = beside.end(0)
    assert text.count("checkpoint behind block") >= 4, text
    assert len(checkpoints(engine)) == 3, "it keeps three"
    found = report(engine)
    assert found["checkpoints_equal"] == 3 and found["checkpoints_damaged"] == 0, found


def kill_beside(engine, load, chance):
    """Kills checkpoint and trim at random moments; after each few the log must be whole."""
    for number in range(KILLS):
        if number % 2 == 0:
            beside = follow(engine, chance.choice((3, 10, 30)))
        else:
            beside = Beside(engine, "trim", "--archive", engine.log / "archive")
        time.sleep(chance.uniform(0, 0.6))
        beside.kill()
        answered(load, 20)
        if number % 8 == 7:
            found = report(engine)
            assert found["from_first_byte"] and found["checkpoints_damaged"] == 0, found


def trim_to_the_end(engine, load):
    """At least one segment more goes for good into the archive."""
    first = segments(engine)[0]

    def trimmed():
        answered(load, 100)
        engine.replay("checkpoint")
        Beside(engine, "trim", "--archive", engine.log / "archive").end(0)
        return segments(engine)[0] > first

    wait_until(trimmed, ANSWERED_S, "a segment to be trimmed")


def test_beside_a_loaded_engine(row):
    seed = 11
    with Engine(engine_shards=SHARDS, log_segment_mib=2) as engine, Client() as client:
        balances = open_wallets(client, SHARDS)
        load = Load([account for account in balances if balances[account] > 0], seed)
        load.start()
        with row("checkpoint --follow writes what the log gives, under load"):
            check_follower(engine, load)
        with row(f"checkpoint and trim, killed {KILLS} times beside it (seed {seed})"):
            kill_beside(engine, load, random.Random(seed))
        with row("trim keeps in the archive what it takes from a running engine's log"):
            trim_to_the_end(engine, load)
            assert segments(engine)[0] > 0
            archived = {int(file.name[:20]) for file in engine.log.glob("archive/*.zst")}
            assert archived >= set(range(segments(engine)[0])), archived
        with row("the engine, killed, starts from a checkpoint and has every outcome"):
            engine.kill()
            engine.start()
            assert "from the checkpoint at epoch" in engine.screen(), engine.screen()
            answered(load, 50)
            load.end()
            assert check_outcomes(engine, client, load, balances) > 500
        with row("archive and log are proved from the first byte"):
            found = report(engine)
            assert found["from_first_byte"] and found["exit_status"] == 0, found
            assert report(engine, "--archive", "none")["from_first_byte"] is False
        with row("from a checkpoint or from the first byte: the same balances at any epoch"):
            check_moments(engine, found["epoch"], random.Random(seed))
        with row("bad checkpoints are passed over by name, and without any the start is refused"):
            check_bad_checkpoints(engine, client, balances)


def check_moments(engine, last, chance):
    """Sampled epochs, some of them in the middle of unfinished transfers between shards."""
    under_way = 0
    for epoch in sorted(chance.sample(range(last // 3, last), 12)):
        said = [engine.replay(command, "--at", epoch, "--json", *more).stdout
                for command in ("balances", "phases")
                for more in (("--checkpoints", "none"), ())]
        assert said[0] == said[1] and said[2] == said[3], (epoch, said)
        under_way += bool(json.loads(said[2])["rows"])
    assert under_way > 0, "no epoch was in the middle of anything"


def starts(engine, client, balances):
    """The engine's screen after a start; it must show what it should."""
    engine.start()
    for account, balance in balances.items():
        assert client.lookup(account).balance == balance, account
    screen = engine.screen()
    engine.stop()
    return screen


def spoil(file, how):
    data = bytearray(file.read_bytes())
    if how == "header":
        data[60] ^= 1
    elif how == "state":
        data[len(data) // 2] ^= 1
    elif how == "cut":
        del data[-100:]
    elif how == "empty":
        data.clear()
    else:
        data[:] = b"no checkpoint" * 1000
    file.write_bytes(data)


REASONS = {"header": "checksum", "state": "hash", "cut": "wrong size", "empty": "too short",
           "other": "it is none"}


def check_bad_checkpoints(engine, client, balances):
    engine.replay("checkpoint", "--keep", 5)
    starts(engine, client, balances)
    engine.replay("checkpoint", "--keep", 5)
    whole = {file: file.read_bytes() for file in checkpoints(engine)}
    newest = checkpoints(engine)[-1]
    for how, reason in REASONS.items():
        spoil(newest, how)
        screen = starts(engine, client, balances)
        assert "1 bad checkpoints passed over" in screen and newest.name in screen, screen
        assert reason in screen and "from the checkpoint at epoch" in screen, (how, screen)
        newest.write_bytes(whole[newest])
    # None at all: the beginning is in the archive only, which the engine does not read.
    for file in checkpoints(engine):
        spoil(file, "state")
    engine.launch()
    assert engine.wait() not in (0, -9)
    said = engine.stderr()
    assert "trimmed" in said and "--archive DIR --from-first-byte" in said and "hash" in said, said
    for file in checkpoints(engine):
        file.unlink()
    engine.launch()
    assert engine.wait() not in (0, -9) and "no checkpoint is there" in engine.stderr()
    # What it says helps.
    engine.replay("checkpoint", "--from-first-byte")
    assert "from the checkpoint at epoch" in starts(engine, client, balances)


def test_whole_log_without_good_checkpoints(row):
    with Engine(engine_shards=SHARDS) as engine, Client() as client:
        balances = open_wallets(client, SHARDS)
        engine.stop()
        engine.replay("checkpoint")
        with row("an untrimmed log with a bad checkpoint is replayed from the first byte"):
            spoil(checkpoints(engine)[-1], "state")
            screen = starts(engine, client, balances)
            assert "1 bad checkpoints passed over" in screen, screen
            assert "from the checkpoint" not in screen, screen
        with row("a summary proves the log, and names what is lost"):
            file = engine.folder / "summary"
            engine.replay("seal-check", "--output", file)
            assert "every byte, by SHA-256" in engine.replay("verify", "--against", file).stdout
            changed = file.read_text().replace("giro-summary", "giro-sunmary", 1)
            file.write_text(changed)
            done = engine.replay("verify", "--against", file, check=False)
            assert done.returncode == 5 and "was changed" in done.stderr, done
