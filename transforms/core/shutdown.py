"""Asking the steps of this process to stop: sources take no more events, and nobody waits for a better time to send.

What has been read still goes its way, so the books of a stopped run are true.
"""

from __future__ import annotations

import threading

STOPPING = threading.Event()
