"""Messages that move while a rank computes."""

import sys

import pytest

from parcorana.pipeline.mover import Mover


def test_a_large_block_comes_while_a_rank_does_not_ask(command, root, tmp_path):
    run = command(sys.executable, root / "tests" / "mover_ranks.py", cwd=tmp_path, ranks=2)
    assert run.returncode == 0 and "\ncame\n" in "\n" + run.stderr, run.stderr


class Message:
    """One that is there at the third look, or fails."""

    def __init__(self, fails=False):
        self.looks, self.fails, self.there = 0, fails, False

    def done(self):
        self.looks += 1
        if self.fails:
            raise OSError("the link is cut")
        self.there = self.looks >= 3
        return self.there


def test_it_looks_until_all_are_there_and_never_after_the_body():
    mover = Mover((OSError,))
    messages = [Message(), Message()]
    with mover.meanwhile(messages):
        while not all(message.there for message in messages):
            pass
    looks = [message.looks for message in messages]
    others = [Message()]
    with mover.meanwhile(others):
        while not others[0].there:
            pass
    assert [message.looks for message in messages] == looks


@pytest.mark.filterwarnings("error")
def test_an_error_is_left_to_the_rank_itself():
    mover = Mover((OSError,))
    failing = Message(fails=True)
    with mover.meanwhile([failing]):
        while failing.looks < 2:
            pass
    with pytest.raises(OSError, match="link"):
        failing.done()
