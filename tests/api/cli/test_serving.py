"""How a process serves."""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from api.cli.serving import collect_seldom

TOP: Final = Path(__file__).parents[3]


class TestCollectSeldom:
    def test_leaves_alone_what_is_there_and_looks_seldom_for_more(self) -> None:
        usual = gc.get_threshold()
        try:
            collect_seldom()
            assert gc.get_freeze_count() > 0
            assert gc.isenabled()
            assert gc.get_threshold() > usual
        finally:
            gc.set_threshold(*usual)
            gc.unfreeze()


ALLOCATING: Final = """
import ctypes, os, tempfile, threading
from api.cli.serving import share_arenas

c = ctypes.CDLL(None)
if not hasattr(c, "malloc_info"):
    raise SystemExit("another C library")
share_arenas()
c.malloc.restype = ctypes.c_void_p
together = threading.Barrier(16)


def allocate():
    together.wait()
    c.malloc(1000)
    together.wait()


threads = [threading.Thread(target=allocate) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
c.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as told:
    stream = ctypes.c_void_p(c.fopen(told.name.encode(), b"w"))
    c.malloc_info(0, stream)
    c.fclose(stream)
    print(told.read().decode().count("<heap nr="))
"""


class TestMemory:
    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have other C libraries")
    def test_is_allocated_by_all_threads_from_few_places(self) -> None:
        done = subprocess.run([sys.executable, "-c", ALLOCATING], capture_output=True, text=True, check=False, cwd=TOP)
        if "another C library" in done.stderr:
            pytest.skip("it is musl, not glibc")
        assert (done.returncode, done.stdout.strip()) == (0, "2"), done.stderr
