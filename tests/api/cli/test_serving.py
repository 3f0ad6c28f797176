"""How a process serves."""

import gc

from api.cli.serving import collect_seldom


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
