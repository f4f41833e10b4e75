#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a wallet's statement against the CSV files that were imported.

    check_statement.py FOLDER ACCOUNT <STATEMENT.csv

FOLDER holds accounts.csv, transfers.csv and expected.csv of an import into an empty log; standard
input is `giro-replay statement LOG ACCOUNT --csv`. It shares no code with giro, nor with the other
tests. The import sends many at a time, so the order may differ from the files'; nothing else may.
Prints one line, or says what is wrong and ends with status 1.
"""

import collections
import csv
import pathlib
import sys


def table(folder, name):
    with open(folder / name, newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def due(folder, account):
    """What must be in the statement: a bag of (counterparty, code, signed amount)."""
    issuers = {}
    openings = []
    for row in table(folder, "accounts.csv"):
        if row["floor"] == "issuer":
            issuers.setdefault(row["ledger"], row["id"])
        if int(row["opening"]):
            openings.append((row["id"], row["ledger"], int(row["opening"])))
    movements = collections.Counter()
    for credit, ledger, amount in openings:
        if credit == account:
            movements[issuers[ledger], 0, amount] += 1
        if issuers[ledger] == account:
            movements[credit, 0, -amount] += 1
    for row in table(folder, "transfers.csv"):
        if row["debit"] == account:
            movements[row["credit"], int(row["code"]), -int(row["amount"])] += 1
        if row["credit"] == account:
            movements[row["debit"], int(row["code"]), int(row["amount"])] += 1
    return movements


def check(folder, account, statement):
    """What is wrong with the statement, or None; and how many movements it has."""
    balance = 0
    epoch = 0
    found = collections.Counter()
    transfers = set()
    for number, row in enumerate(statement, 1):
        balance += int(row["amount"])
        if int(row["balance"]) != balance:
            return f"movement {number}: balance {row['balance']}, the sum is {balance}", number
        if int(row["epoch"]) < epoch:
            return f"movement {number}: epoch {row['epoch']} after {epoch}", number
        epoch = int(row["epoch"])
        if row["transfer"] in transfers:
            return f"movement {number}: transfer {row['transfer']} is there twice", number
        transfers.add(row["transfer"])
        found[row["counterparty"], int(row["code"]), int(row["amount"])] += 1
    wanted = due(folder, account)
    if found != wanted:
        return (f"missing {list((wanted - found).items())[:3]}, "
                f"too many {list((found - wanted).items())[:3]}"), len(transfers)
    closing = {row["id"]: int(row["balance"]) for row in table(folder, "expected.csv")}[account]
    if balance != closing:
        return f"it ends with {balance}, expected.csv says {closing}", len(transfers)
    return None, len(transfers)


def main():
    folder, account = pathlib.Path(sys.argv[1]), sys.argv[2]
    wrong, count = check(folder, account, csv.DictReader(sys.stdin))
    if wrong:
        sys.exit(f"statement of {account}: {wrong}")
    print(f"statement of {account}: {count} movements as in the files")


if __name__ == "__main__":
    main()
