"""Jobs that `test_parallel` runs in other processes; as a script, a process with two workers that never end."""

import os
import sys
import time

TOLD: list[str] = []


def remember(word: str) -> None:
    TOLD.append(word)


def tell(job: int) -> tuple[int, str, str | None, int]:
    """The job, the word of `remember`, the number of threads, and the process."""
    return job, TOLD[-1], os.environ.get("OMP_NUM_THREADS"), os.getpid()


def fail_at_one(job: int) -> int:
    if job == 1:
        raise ValueError("job 1")
    time.sleep(0.1)
    return job


def first_quick(job: int) -> int:
    """The process; all jobs but the first take for ever."""
    time.sleep(600 if job else 0)
    return os.getpid()


def say_and_wait(job: int) -> int:
    time.sleep(600 if job > 1 else 0.2)
    return os.getpid()


def main() -> None:
    import multiprocessing
    from contextlib import closing

    from srrs.parallel import side_by_side

    with closing(side_by_side(say_and_wait, range(4), 2)) as running:
        next(running)
        sys.stdout.write(" ".join(str(child.pid) for child in multiprocessing.active_children()) + "\n")
        sys.stdout.flush()
        time.sleep(600)


if __name__ == "__main__":
    main()
