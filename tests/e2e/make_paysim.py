#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes input for `giro import` in the shape of a mobile-money service.

Writes accounts.csv (id,ledger,floor,opening), transfers.csv (time_ms,code,debit,credit,amount) and
expected.csv (id,balance after all of it). Codes: 1 cash-in (agent to customer), 2 cash-out (customer
to agent), 3 debit (customer to bank), 4 payment (customer to merchant), 5 transfer (customer to
customer). Amounts are log-normal, customers skewed. Every account is funded for all that it pays, so
the final balances do not depend on the order. Equal arguments make equal files.
"""

import argparse
import itertools
import pathlib
import random

ISSUER, BANK = 1, 2
CUSTOMERS, AGENTS, MERCHANTS = 1_000_000, 5_000_000, 9_000_000
LEDGER = 1
START_MS = 1_700_000_000_000
SPAN_MS = 30 * 24 * 3600 * 1000

# code: (share of all transfers, mu and sigma of the amount's logarithm)
ACTIONS = {
    1: (0.200, 16.3, 0.8),
    2: (0.365, 16.3, 0.9),
    3: (0.005, 12.5, 1.0),
    4: (0.350, 13.8, 0.8),
    5: (0.080, 17.6, 1.2),
}
# Customer number rank of n is drawn as n * u ** SKEW.
SKEW = 2.5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="where to write; made if need be")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--merchants", type=int, default=400)
    parser.add_argument("--transfers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.customers < 2 or min(options.agents, options.merchants) < 1:
        parser.error("at least 2 customers, 1 agent and 1 merchant are needed")
    return options


def make_transfers(options, chance):
    def customer():
        return CUSTOMERS + int(options.customers * chance.random() ** SKEW)

    def agent():
        return AGENTS + chance.randrange(options.agents)

    def merchant():
        return MERCHANTS + chance.randrange(options.merchants)

    parties = {
        1: lambda: (agent(), customer()),
        2: lambda: (customer(), agent()),
        3: lambda: (customer(), BANK),
        4: lambda: (customer(), merchant()),
        5: lambda: (customer(), customer()),
    }
    codes = chance.choices(list(ACTIONS), [share for share, _, _ in ACTIONS.values()],
                           k=options.transfers)
    times = sorted(START_MS + chance.randrange(SPAN_MS) for _ in codes)
    for time_ms, code in zip(times, codes):
        _, mu, sigma = ACTIONS[code]
        debit, credit = parties[code]()
        while credit == debit:
            credit = customer()
        yield time_ms, code, debit, credit, max(1, int(chance.lognormvariate(mu, sigma)))


def write(path, heading, rows):
    with open(path, "w", encoding="ascii") as file:
        file.write(heading + "\n")
        file.writelines(",".join(map(str, row)) + "\n" for row in rows)


def main():
    options = arguments()
    chance = random.Random(options.seed)
    transfers = list(make_transfers(options, chance))
    accounts = [ISSUER, BANK, *itertools.chain.from_iterable(
        range(first, first + count) for first, count in
        ((CUSTOMERS, options.customers), (AGENTS, options.agents), (MERCHANTS, options.merchants)))]

    opening = dict.fromkeys(accounts, 0)
    net = dict.fromkeys(accounts, 0)
    for _, _, debit, credit, amount in transfers:
        opening[debit] += amount
        net[debit] -= amount
        net[credit] += amount
    # Customers have something besides what they pay, some of them nothing at all.
    for account in range(CUSTOMERS, CUSTOMERS + options.customers):
        if chance.random() < 0.9:
            opening[account] += chance.randrange(1, 1_000_000_00)
    balance = {account: opening[account] + net[account] for account in accounts}
    balance[ISSUER] -= sum(opening.values())
    assert sum(balance.values()) == 0

    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder / "accounts.csv", "id,ledger,floor,opening",
          ((account, LEDGER, "issuer" if account == ISSUER else 0, opening[account])
           for account in accounts))
    write(options.folder / "transfers.csv", "time_ms,code,debit,credit,amount", transfers)
    write(options.folder / "expected.csv", "id,balance", balance.items())


if __name__ == "__main__":
    main()
