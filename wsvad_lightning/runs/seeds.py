"""The seed of a run, the same in all of its processes."""

import os
import secrets

from wsvad_lightning.errors import WSVADError

SEEDS = 2**32  # how many there are
SHARED_SEED = "PL_GLOBAL_SEED"  # environment variable by which Lightning gives the seed to further processes


def seed_of_run(given: int | bool) -> int | bool:
    """Give the seed that ``--seed_everything`` asks for.

    Args:
        given: a number; true for one that is drawn, false for none.

    Raises:
        WSVADError: if there is no such seed, or none that all processes would have.
    """
    seed = drawn_seed() if given is True else given
    if not 0 <= seed < SEEDS:
        raise WSVADError("--seed_everything", seed, f"must be 0 to {SEEDS - 1}", "Give 0")
    return seed


def seed_of_data(seed: int | bool | None) -> int | None:
    """Give the seed of the data module: None for a run without one; the parser refuses a seed of none."""
    return None if seed is False or seed is None else int(seed)


def drawn_seed() -> int:
    """Draw a seed for ``--seed_everything true``; further processes take that of the first one.

    Raises:
        WSVADError: if another launcher than Lightning's started several processes: each would draw its own.
    """
    if int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", 1))) == 1:
        return secrets.randbelow(SEEDS)
    if not (shared := os.environ.get(SHARED_SEED, "")).isdecimal():
        problem = "each process would draw a seed of its own"
        raise WSVADError("--seed_everything", "true", problem, "Give a number")
    return int(shared)


def forget_shared_seed() -> None:
    """Let processes that are started from now on not follow the seed of an earlier run."""
    os.environ.pop(SHARED_SEED, None)
