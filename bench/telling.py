"""Can the time of a failed sign-in tell who exists? `python -m bench.telling [SAMPLES]`.

Every kind of failure is timed in turn, in a new order each round, so that whatever else the machine does falls on
all of them alike. For each pair of kinds: the medians, and the chance that a classifier picks the right one of two
answers by their times alone (AUC). 0.5 tells nothing, 1 tells all.
"""

import logging
import random
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from statistics import median, quantiles

from flask.testing import FlaskClient
from sqlalchemy import delete

from emolytics import create_app
from emolytics.schema import throttle_counters
from tests.backends.ldap.conftest import directory_table
from tests.portal import Portal, settings_for
from tests.upstreams.openldap import OpenLDAP
from tests.upstreams.slapd_configuration import Behaviour

COSTS = (4, 12)
WARM_UP = 10
ROUNDS = 1000  # after so many the counters are emptied, as at the end of a window
# Kind -> the name that is typed. One name each: what a name costs when it is first seen is the same for all.
KINDS = {
    "unknown": "nobody",
    "wrong": "ada",
    "disabled": "grace",
    "other backend": "alice",
    "not in a group": "carol",
}


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    logging.disable(logging.WARNING)
    with OpenLDAP(Behaviour(max_failures=10_000_000)) as directory:
        for cost in COSTS:
            with portal_of(directory, cost) as portal:
                report(cost, measure(portal, samples if cost == COSTS[0] else max(100, samples // 10)))


@contextmanager
def portal_of(directory: OpenLDAP, cost: int) -> Iterator[Portal]:
    """Local accounts first, then the directory, with room for every attempt."""
    backends = {"local": {"type": "local"}, "corp": {"type": "ldap", **directory_table(directory)}}
    limits = {"failures": ROUNDS, "address_failures": 1_000_000}
    hashing = {"cost": cost, "concurrency": 1}
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(f"sqlite:///{folder}/bench.db", backends, limits=limits, hashing=hashing)
        portal = Portal(create_app(settings))
        try:
            portal.add_user("ada")
            portal.add_user("grace")
            with portal.core.database.transaction() as connection:
                portal.core.users.set_disabled(connection, portal.user_id("grace"), True)
            yield portal
        finally:
            portal.core.close()


def measure(portal: Portal, samples: int) -> dict[str, list[float]]:
    """Seconds of each answer, by kind."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    client, order = portal.client(), list(KINDS)
    for number in range(-WARM_UP, samples):
        random.shuffle(order)
        if number % (ROUNDS // 2) == 0:
            with portal.core.database.transaction() as connection:
                connection.execute(delete(throttle_counters))
        for kind in order:
            taken = seconds(client, KINDS[kind])
            if number >= 0:
                times[kind].append(taken)
    return times


def seconds(client: FlaskClient, username: str) -> float:
    began = time.perf_counter()
    answer = client.post("/login", json={"username": username, "password": "Wrong-Horse-10"})
    taken = time.perf_counter() - began
    if answer.status_code != 401:
        raise SystemExit(f"{username} got {answer.status_code}: {answer.text}")
    return taken


def report(cost: int, times: dict[str, list[float]]) -> None:
    print(f"\nbcrypt cost {cost}, {len(next(iter(times.values())))} samples of each kind\n")
    print("| kind | median ms | quartiles ms |\n| --- | ---: | ---: |")
    for kind, found in times.items():
        low, _, high = quantiles(found, n=4)
        print(f"| {kind} | {median(found) * 1000:.2f} | {low * 1000:.2f} to {high * 1000:.2f} |")
    print("\n| pair | AUC |\n| --- | ---: |")
    for one, other in combinations(times, 2):
        print(f"| {one}, {other} | {auc(times[one], times[other]):.3f} |")


def auc(one: Sequence[float], other: Sequence[float]) -> float:
    """The chance to tell which is which of two answers, one of each kind; at least 0.5 (Mann and Whitney's U)."""
    ordered = sorted(one)
    below = sum(bisect_left(ordered, each) + bisect_right(ordered, each) for each in other) / 2
    chance = below / (len(one) * len(other))
    return max(chance, 1 - chance)


if __name__ == "__main__":
    main()
