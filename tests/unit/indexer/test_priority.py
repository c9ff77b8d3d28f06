import os
import subprocess
import sys
from pathlib import Path

import pytest

_LOWER_AND_TELL = """
from pathlib import Path
from vitrine.indexer.priority import lower_session
lower_session(7)
group = Path("/proc/self/autogroup")
print(group.read_text().split()[-1] if group.exists() else "no groups")
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


def told(*, new_session: bool) -> str:
    return subprocess.run(
        [sys.executable, "-c", _LOWER_AND_TELL],
        text=True,
        capture_output=True,
        check=True,
        start_new_session=new_session,
    ).stdout.strip()


@pytest.mark.parametrize("leads", [True, False])
def test_a_run_lowers_the_session_it_leads_and_no_other(leads: bool) -> None:
    group = Path("/proc/self/autogroup")
    before = group.read_text().split()[-1] if group.exists() else "no groups"
    assert told(new_session=leads) == ("7" if leads and group.exists() else before)


def test_a_thread_is_lowered_alone() -> None:
    before = os.nice(0)
    lowered, others = (
        subprocess.run([sys.executable, "-c", _LOWER_A_THREAD], text=True, capture_output=True, check=True).stdout
    ).split()
    assert (int(lowered), int(others)) == (min(19, before + 3), before)
