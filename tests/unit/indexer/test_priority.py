import os
import subprocess
import sys

import pytest

# A kernel may have no groups of sessions, or show an empty file for them.
_LOWER_AND_TELL = """
from pathlib import Path
from vitrine.indexer.priority import lower_session

def niceness():
    try:
        return Path("/proc/self/autogroup").read_text().split()[-1:] or ["none"]
    except OSError:
        return ["none"]

before = niceness()
lower_session(7)
print(*before, *niceness())
"""

_LOWER_A_THREAD = """
import os, threading
from vitrine.indexer.priority import lower_thread
seen = []
thread = threading.Thread(target=lambda: (lower_thread(3), seen.append(os.nice(0))))
thread.start()
thread.join()
print(seen[0], os.nice(0))
"""


@pytest.mark.parametrize("leads", [True, False])
def test_a_run_lowers_the_session_it_leads_and_no_other(leads: bool) -> None:
    told = subprocess.run(
        [sys.executable, "-c", _LOWER_AND_TELL],
        text=True,
        capture_output=True,
        check=True,
        start_new_session=leads,
    ).stdout
    before, after = told.split()
    assert after == ("7" if leads and before != "none" else before)


def test_a_thread_is_lowered_alone() -> None:
    before = os.nice(0)
    lowered, others = (
        subprocess.run([sys.executable, "-c", _LOWER_A_THREAD], text=True, capture_output=True, check=True).stdout
    ).split()
    assert (int(lowered), int(others)) == (min(19, before + 3), before)
