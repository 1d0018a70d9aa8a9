"""The exit codes of ``run`` and ``replay``, and the state in which a run that ends with one of them is."""

from __future__ import annotations

from typing import Final, Literal

OK: Final = 0
DEAD_LETTERS: Final = 1  # some events were bad, and no outage made dead letters
CONFIGURATION: Final = 2  # the job file, the command line, the input or the environment is at fault
REFUSED: Final = 3  # a destination refuses everything
FAILED: Final = 4  # the run itself
GAVE_UP: Final = 5  # events were given up for an outage; a replay delivers them
INTERRUPTED: Final = 130  # by a signal

State = Literal["succeeded", "succeeded_with_rejections", "refused", "failed", "stopped"]


def state_of(exit_code: int, has_rejections: bool) -> State:
    """The state of a run that ends with an exit code, and may have dead letters.

    >>> state_of(OK, False), state_of(OK, True), state_of(GAVE_UP, True)
    ('succeeded', 'succeeded_with_rejections', 'failed')
    """
    if exit_code == OK:
        return "succeeded_with_rejections" if has_rejections else "succeeded"
    return _STATES.get(exit_code, "failed")


_STATES: Final[dict[int, State]] = {
    DEAD_LETTERS: "succeeded_with_rejections",
    REFUSED: "refused",
    INTERRUPTED: "stopped",
}
