# SPDX-License-Identifier: Apache-2.0
"""peers: the same transfers on Redis and PostgreSQL, in the same run on the same disk.

Same accounts, uniform choice, no overdraft, durable where the row says so. The peers do less than
giro: they remember no ids, so a repeated transfer would pay twice. They run in the client's
namespace, on loopback, so that they end with it however this program ends.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import time

import ground
import network

TITLE = "accounts 100 k, uniform, overdraft check; peers on loopback"

ACCOUNTS = 100000
FUNDS = 1000000000
REDIS_PORT = 6390
POSTGRES_PORT = 5439
POSTGRES_PROGRAMS = "/usr/lib/postgresql/15/bin"
CLIENTS = 64
TARGET_RATIO = 10

REDIS_TRANSFER = """
local have = tonumber(redis.call('GET', KEYS[1]))
if not have or redis.call('EXISTS', KEYS[2]) == 0 then return redis.error_reply('no account') end
if have < tonumber(ARGV[1]) then return 0 end
redis.call('DECRBY', KEYS[1], ARGV[1])
redis.call('INCRBY', KEYS[2], ARGV[1])
return 1
"""
REDIS_FILL = """
for n = 0, tonumber(ARGV[1]) - 1 do redis.call('SET', string.format('a:%012d', n), ARGV[2]) end
"""
REDIS_SUM = """
local sum = 0
for n = 0, tonumber(ARGV[1]) - 1 do sum = sum + redis.call('GET', string.format('a:%012d', n)) end
return string.format('%.0f', sum)
"""

POSTGRES_TABLE = f"""
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
INSERT INTO account SELECT n, {FUNDS} FROM generate_series(1, {ACCOUNTS}) n;
CREATE EXTENSION dblink;
VACUUM ANALYZE account;
"""
POSTGRES_DRAW = f"""\\set debit random(1, {ACCOUNTS})
\\set credit random(1, {ACCOUNTS - 1})
\\set credit :credit + case when :credit >= :debit then 1 else 0 end
\\set amount random(1, 1000)
"""
# One statement is one transaction; the CHECK refuses an overdraft.
POSTGRES_ONE = POSTGRES_DRAW + """UPDATE account SET balance = balance +
  CASE id WHEN :debit::int THEN - :amount::bigint ELSE :amount::bigint END
  WHERE id IN (:debit::int, :credit::int);
"""
# Debit in this database, credit in the other, both prepared before either commits. What the
# coordinator would have to remember of its own decision is left out, in the peer's favour.
POSTGRES_TWO = POSTGRES_DRAW + """BEGIN \\; SELECT CASE
  WHEN 'other' = ANY (coalesce(dblink_get_connections(), '{}')) THEN 'OK'
  ELSE dblink_connect('other', 'host=127.0.0.1 port=%(port)d user=postgres dbname=other') END \\;
UPDATE account SET balance = balance - :amount WHERE id = :debit \\;
SELECT dblink_exec('other', 'BEGIN; UPDATE account SET balance = balance + :amount
  WHERE id = :credit; PREPARE TRANSACTION ''other-:client_id''') \\;
PREPARE TRANSACTION 'bench-:client_id';
COMMIT PREPARED 'bench-:client_id';
SELECT dblink_exec('other', 'COMMIT PREPARED ''other-:client_id''');
""" % {"port": POSTGRES_PORT}


def give_up(done):
    raise RuntimeError(f"{' '.join(map(str, done.args))} ended with {done.returncode}:\n"
                       f"{done.stdout[-1500:]}{done.stderr[-1500:]}")


def inside(*command, text=None, timeout=300):
    done = network.in_client(*command, input=text, timeout=timeout, check=False)
    if done.returncode != 0:
        give_up(done)
    return done.stdout


def wait_for(process, answers, what):
    deadline = time.monotonic() + 30
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start")
        time.sleep(0.05)


@contextlib.contextmanager
def scratch(owner=None):
    folder = network.SCRATCH / f"peer-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    if owner:
        shutil.chown(folder, owner, owner)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Redis.

def redis(*words, text=None):
    return inside("redis-cli", "-p", REDIS_PORT, *words, text=text).strip()


@contextlib.contextmanager
def redis_server(fsync):
    with scratch() as folder:
        process = network.start_in_client(
            "redis-server", "--port", str(REDIS_PORT), "--bind", "127.0.0.1", "--dir", str(folder),
            "--save", "", "--appendonly", "yes", "--appendfsync", fsync,
            "--auto-aof-rewrite-percentage", "0", stdout=subprocess.DEVNULL)
        try:
            wait_for(process, lambda: network.in_client(
                "redis-cli", "-p", REDIS_PORT, "ping", check=False).stdout == "PONG\n", "Redis")
            redis("EVAL", REDIS_FILL, 0, ACCOUNTS, FUNDS)
            yield redis("SCRIPT", "LOAD", REDIS_TRANSFER)
        finally:
            process.terminate()
            process.wait()


def redis_rate(script, seconds, clients, pipeline):
    """redis-benchmark runs a number of requests, not a time: a first, short run says how many."""
    rate, count = 0, 20000
    for _ in range(2):
        text = inside("redis-benchmark", "-p", REDIS_PORT, "-c", clients, "-P", pipeline, "-r",
                      ACCOUNTS, "-n", count, "-e", "--csv", "EVALSHA", script, 2,
                      "a:__rand_int__", "a:__rand_int__", 7)
        rows = [row.strip('"').split('","') for row in text.splitlines()]
        result = dict(zip(rows[-2], rows[-1]))
        rate = float(result["rps"])
        count = max(20000, int(rate * seconds))
    return rate, result


def measure_redis(report, seconds, giro):
    for fsync in ("everysec", "always"):
        with redis_server(fsync) as script:
            for clients, pipeline, what in ((CLIENTS, 1, "not pipelined"),
                                            (CLIENTS, 64, "pipelined by 64")):
                rate, result = redis_rate(script, seconds, clients, pipeline)
                ours = giro["full" if pipeline > 1 else "64 at a time"]
                report.row(f"Redis, fsync {fsync}, {clients} clients, {what}", rate,
                           "transfers/s", ours, "giro", f"giro is {ours / rate:.1f} x; p50 "
                           f"{result['p50_latency_ms']} p99 {result['p99_latency_ms']} ms"
                           + ("; loses up to a second in a crash" if fsync == "everysec" else ""),
                           series="peer", peer="redis", fsync=fsync, pipeline=pipeline)
            total = int(redis("EVAL", REDIS_SUM, 0, ACCOUNTS))
            failed = re.search(r"cmdstat_evalsha:.*failed_calls=(\d+)",
                               redis("INFO", "commandstats"))
            if total != ACCOUNTS * FUNDS or not failed or int(failed[1]) != 0:
                raise RuntimeError(f"Redis: balances add up to {total}, {failed} calls failed")


# PostgreSQL.

def as_postgres(*command):
    # A change of user takes the wish to die with the parent away.
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups",
            "--pdeathsig", "KILL", *command]


def psql(database, text):
    return inside("psql", "-h", "127.0.0.1", "-p", POSTGRES_PORT, "-U", "postgres", "-qtA", "-v",
                  "ON_ERROR_STOP=1", database, text=text).strip()


@contextlib.contextmanager
def postgres_server():
    with scratch("postgres") as folder:
        data = folder / "data"
        subprocess.run(as_postgres(f"{POSTGRES_PROGRAMS}/initdb", "--auth", "trust", "--username",
                                   "postgres", "--pgdata", str(data)),
                       check=True, capture_output=True, cwd=folder)
        options = {"port": POSTGRES_PORT, "listen_addresses": "127.0.0.1",
                   "unix_socket_directories": folder, "max_connections": 3 * CLIENTS + 10,
                   "max_prepared_transactions": 3 * CLIENTS, "shared_buffers": "256MB",
                   "max_wal_size": "4GB", "fsync": "on", "synchronous_commit": "on"}
        process = network.start_in_client(
            *as_postgres(f"{POSTGRES_PROGRAMS}/postgres", "-D", str(data)),
            *[word for name, value in options.items() for word in ("-c", f"{name}={value}")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        try:
            wait_for(process, lambda: network.in_client(
                f"{POSTGRES_PROGRAMS}/pg_isready", "-h", "127.0.0.1", "-p", POSTGRES_PORT,
                check=False).returncode == 0, "PostgreSQL")
            for database in ("bench", "other"):
                psql("postgres", f"CREATE DATABASE {database}")
                psql(database, POSTGRES_TABLE)
            psql("bench", "CHECKPOINT")
            yield folder
        finally:
            process.send_signal(2)  # SIGINT: a fast shutdown
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def postgres_rate(folder, script, seconds, clients, mode):
    file = folder / "transfer.sql"
    file.write_text(script)
    text = inside(f"{POSTGRES_PROGRAMS}/pgbench", "-h", "127.0.0.1", "-p", POSTGRES_PORT, "-U",
                  "postgres", "-n", "-c", clients, "-j", 2, "-T", max(2, round(seconds)), "-M",
                  mode, "--max-tries", 10, "-f", file, "bench")
    failed = re.search(r"failed transactions: (\d+)", text)
    if not failed or int(failed[1]) != 0:
        raise RuntimeError(f"pgbench:\n{text}")
    return (float(re.search(r"^tps = ([\d.]+)", text, re.MULTILINE)[1]),
            float(re.search(r"^latency average = ([\d.]+)", text, re.MULTILINE)[1]))


def measure_postgres(report, seconds, giro):
    with postgres_server() as folder:
        for script, mode, what in ((POSTGRES_ONE, "prepared", "one node"),
                                   (POSTGRES_TWO, "simple", "two-phase commit, two databases")):
            rate, mean_ms = postgres_rate(folder, script, seconds, CLIENTS, mode)
            ours = giro["64 at a time" + ("" if mode == "prepared" else ", between shards")]
            report.row(f"PostgreSQL, {what}, {CLIENTS} clients", rate, "transfers/s", ours, "giro",
                       f"giro is {ours / rate:.1f} x; mean {mean_ms:.2f} ms", series="peer",
                       peer="postgres", kind=what)
        total = sum(int(psql(database, "SELECT sum(balance) FROM account"))
                    for database in ("bench", "other"))
        left = psql("bench", "SELECT count(*) FROM pg_prepared_xacts")
        if total != 2 * ACCOUNTS * FUNDS or left != "0":
            raise RuntimeError(f"PostgreSQL: balances add up to {total}, {left} left prepared")


# Any other.

def measure_other(report, name, command, giro):
    """A shell command whose last printed number is its rate in transfers a second."""
    done = network.in_client("bash", "-c", command, check=False, timeout=600)
    numbers = re.findall(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", done.stdout)
    if done.returncode != 0 or not numbers:
        give_up(done)
    rate = float(numbers[-1])
    report.row(name, rate, "transfers/s", giro["full"], "giro",
               f"giro is {giro['full'] / rate:.1f} x", series="peer", peer=name)


def measure_giro(report, seconds):
    """giro's side: as many clients as the peers have, each with one transfer under way; and as many
    transfers under way as the pipelined peers have, in full datagrams. On one shard, which like
    Redis is one thread, and on two with half of the transfers between them; a peer is compared with
    the faster."""
    giro = {}
    full = ("full", {"in_flight": 4096 // ground.records(1500)})
    single = ("64 at a time", {"batch": 1, "in_flight": CLIENTS})
    across = ("64 at a time, between shards", {"batch": 1, "in_flight": CLIENTS, "cross": 1})
    for shards, loads in ((1, (full, single)), (2, (full, single, across))):
        with ground.running_engine(shards, 1500, len(loads) * ACCOUNTS) as process:
            for key, options in loads:
                result = ground.load(process, ACCOUNTS, 1500, seconds, **options)
                giro[key] = max(giro.get(key, 0), result["rate"])
                report.row(f"giro, {shards} shard{'s' if shards > 1 else ''}, {key}",
                           result["rate"], "transfers/s",
                           shown=f"p50 {result['latency_us']['p50'] / 1e3:.2f} p99 "
                           f"{result['latency_us']['p99'] / 1e3:.2f} ms", series="giro", kind=key,
                           shards=shards)
    return giro


def compare_best(report, giro):
    durable = [row for row in report.find("peers", "peer") if row.get("fsync") != "everysec"]
    best = max(durable, key=lambda row: row["value"])
    report.row("giro in full datagrams, best durable peer", giro["full"] / best["value"], "x",
               shown=best["name"], target=TARGET_RATIO)


def run(report, seconds):
    giro = measure_giro(report, seconds)
    measure_redis(report, seconds, giro)
    if pathlib.Path(POSTGRES_PROGRAMS).is_dir():
        measure_postgres(report, seconds, giro)
    else:
        report.note(f"PostgreSQL is not at {POSTGRES_PROGRAMS}")
    for peer in filter(None, os.environ.get("GIRO_BENCH_PEERS", "").split("\n")):
        name, command = peer.split("=", 1)
        measure_other(report, name, command, giro)
    compare_best(report, giro)
