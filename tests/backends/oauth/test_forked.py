"""A server may load the application and fork its workers then: nothing of the parent's is used by two."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")

# The parent has spoken to the provider, and other threads of its own are at it, when it forks.
FORKING = """
import os, signal
from emolytics_oauth import lookup
from tests.backends.oauth.relying_party import identity, open_oauth, sign_in
from tests.upstreams.lying_provider import LyingProvider

with LyingProvider() as provider:
    backend = open_oauth(provider)
    identity(sign_in(backend, provider))
    before = len(provider.connections)
    caches = (backend._provider.discovered, backend._provider.keys)
    for each in caches:
        each._lock.acquire()
    lookup._lock.acquire()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            backend.check_health()
            backend._provider.keys_for("rsa-9", "RS256")
            assert lookup.addresses_of("127.0.0.1", 80, 5)
        except BaseException as fault:
            print(type(fault).__name__, fault, flush=True)
            os._exit(1)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for each in caches:
        each._lock.release()
    lookup._lock.release()
    of_the_child = len(provider.connections) - before
    identity(sign_in(backend, provider))
    print(ended, of_the_child, len(provider.connections) - before)
"""


def test_a_child_has_connections_and_locks_of_its_own() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)

    assert (done.stdout, done.stderr) == ("0 1 1\n", "")
