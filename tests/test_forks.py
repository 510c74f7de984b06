"""A server may load the application and fork its workers then: uWSGI does, and gunicorn with --preload."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from emolytics import forks
from emolytics.hashing import Hasher

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")

# The parent has used everything before it forks; an alarm ends a child that hangs.
FORKING = """
import os, signal, sys
from emolytics import create_app

app = create_app({
    "emolytics": {"database": sys.argv[1], "secret_key": "a-s3cret-of-th1s-test-0123456789", "hashing": {"cost": 4}},
    "backends": {"local": {"type": "local"}},
})
core = app.extensions["emolytics"]

def connection():
    with core.database.read() as found:
        return id(found.connection.driver_connection)

def ready():
    return app.test_client().get("/readyz").status_code

core.hasher.hash("before the fork")
places = [core.hasher._free.acquire() for _ in range(core.hasher.places)]
parents = connection()
child = os.fork()
if child == 0:
    signal.alarm(30)
    try:
        assert connection() != parents, "the parent's connection is in use"
        assert core.hasher.verify(core.hasher.hash("after"), "after"), "a hash does not match"
        assert ready() == 200, "the database does not answer"
        core.close()
    except BaseException as fault:
        print(type(fault).__name__, fault, flush=True)
        os._exit(1)
    os._exit(0)
ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert connection() == parents, "the parent lost its connection"
print(ended, ready())
"""


def test_a_child_has_connections_and_hashing_threads_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING, f"sqlite:///{tmp_path}/emolytics.db"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("0 200\n", "")


def test_what_is_gone_is_not_kept_alive_for_it() -> None:
    hasher = Hasher(cost=4)
    known = len(forks._owners)

    del hasher
    gc.collect()

    assert len(forks._owners) < known
