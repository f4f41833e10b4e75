# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: the limits of clients change under a running engine, a bad file changes nothing."""

import signal
import time

import engine
import giro_wire as wire
import network
from client import Client
from engine import Engine, wait_until


def reload(running, changes, wanted):
    """Writes the configuration with `changes`, sends SIGHUP and waits for the words of `wanted`."""
    seen = len(running.stderr())
    (running.folder / "engine.conf").write_text(
        engine.config_text({**running.settings, **changes}))
    running.process.send_signal(signal.SIGHUP)
    return wait_until(
        lambda: all(word in running.stderr()[seen:] for word in wanted) and running.stderr()[seen:],
        30, f"{wanted} in the log of the engine")


def ask(client, record):
    """One datagram with one record: (status, how long to wait)."""
    reply = client.exchange(wire.TRANSFER, [record])
    if reply.results:
        result = wire.decode_result(reply.results[0])
        return wire.status_name(result.status), result.retry_after_ms
    return reply.status, reply.retry_after_ms


def until_busy(client, records):
    """Sends the records one by one until one is refused: (how many were done, how long to wait)."""
    for done, record in enumerate(records):
        status, retry_after_ms = ask(client, record)
        if status == "BUSY":
            return done, retry_after_ms
        assert status == "OK", status
    return len(records), 0


def test_client_limits(row):
    with Engine(engine_shards=1) as running, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        client.create(2)
        records = [wire.transfer_record(client.new_id(), 1, 2, 1, ledger=1) for _ in range(300)]
        with row("without a limit all is taken"):
            assert until_busy(client, records[:100]) == (100, 0)
        with row("a limit holds as soon as it is reloaded, and is logged"):
            said = reload(running, {"clients.records_per_second": 2, "clients.burst_ms": 1},
                          ["records_per_second is now 2, was 0", "configuration reloaded"])
            assert "burst_ms is now 1, was 100" in said, said
            done, retry_after_ms = until_busy(client, records[100:])
            assert done < 50 and 1 <= retry_after_ms <= 500, (done, retry_after_ms)
        with row("what was refused is done once, after the wait it was told"):
            refused = records[100 + done]
            time.sleep(retry_after_ms / 1000)
            assert ask(client, refused)[0] == "OK"
        with row("a bad file is refused as a whole: the old limit stays"):
            said = reload(running, {"clients.records_per_second": 0, "log.epochs": 2},
                          ["not reloaded", "[log] epochs must be a number in 3..64, not '2'"])
            assert "configuration reloaded" not in said, said
            assert until_busy(client, records[:50])[1] > 0
        with row("a file that is gone is refused and named"):
            (running.folder / "engine.conf").rename(running.folder / "away.conf")
            seen = len(running.stderr())
            running.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "engine.conf: No such file" in running.stderr()[seen:], 30,
                       "the file's name in the log")
            assert until_busy(client, records[:50])[1] > 0
        with row("what cannot change is named, what can is done"):
            said = reload(running, {"clients.records_per_second": 1000000, "log.epochs": 16},
                          ["[log] epochs cannot change while the engine runs: 8 stays, 16 holds",
                           "records_per_second is now 1000000, was 2", "3 keys differ"])
            assert until_busy(client, records[150:]) == (150, 0)
        with row("every record was done once, the books agree"):
            assert set(client.final_statuses(wire.TRANSFER, records)) == {"OK"}
            assert client.lookup(2).balance == len(records)
            running.stop()
            assert "over the limit of their client" in running.screen(), running.screen()
            running.verify()
            assert running.balances() == {1: -len(records), 2: len(records)}


def test_reload_under_load(row):
    with Engine(engine_shards=2, engine_requests=512) as running:
        load = network.start_in_client(
            network.BUILD / "client/giro-bench", "--server",
            f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--ledger", 7, "--accounts", 1000,
            "--warm-up", 0, "--seconds", 4, "--quiet")
        with row("limits that come and go under load lose nothing"):
            count = 0
            while load.poll() is None:
                count += 1
                reload(running, {"clients.records_per_second": (1000, 0, 50000)[count % 3]},
                       ["configuration reloaded"])
            assert load.returncode == 0 and count > 5, (load.returncode, count)
            running.stop()
            running.verify()
            assert sum(running.balances().values()) == 0


def test_print_config(row):
    with row("the effective configuration is printed and can be started from"):
        quiet = Engine()
        file = quiet.folder / "engine.conf"
        file.write_text(engine.config_text(quiet.settings))
        done = network.in_client(network.BUILD / "engine/giro-engine", "--print-config", "--config",
                                 file, "--set", "log.writes=3", "--set", "engine.shards=1")
        assert "writes=3" in done.stdout and "# command line" in done.stdout, done.stdout
        try:
            quiet.settings["engine.shards"] = 1
            quiet.launch(config=done.stdout)
            wait_until(lambda: quiet._ready() or quiet.process.poll() is not None, 60, "ready")
            assert quiet._ready(), quiet.stderr()
            quiet.stop()
        finally:
            quiet.kill()
