"""Freed memory is kept between steps: counted in page faults, in a process of its own."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource
import torch
from srrs.core.allocation import freed_memory_kept

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [torch.ones(10 << 20) for _ in range(8)]
    del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with freed_memory_kept():
    inside = [step() for _ in range(4)]
    with freed_memory_kept():
        pass
    inside += [step() for _ in range(4)]
print(json.dumps([sum(inside[:4]), sum(inside[4:]), step()]))
"""
PAGES = 8 * (40 << 20) // 4096  # of all blocks of a step, larger than the library would ever keep by itself


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is changed")
def test_steps_settle_on_memory_that_is_given_back_behind_the_last_of_them():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    first, later, behind = json.loads(done.stdout)
    assert first >= PAGES
    assert later < PAGES / 100
    assert behind > PAGES / 2
