"""When Python looks for garbage: it goes through all that there is, however often it was there before."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_looked_for() -> Iterator[None]:
    """Until the end of the block nobody looks for garbage but whoever asks for it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def nothing_old() -> Iterator[None]:
    """Until the end of the block nobody looks for garbage in what was there before."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
