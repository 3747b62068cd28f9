"""The machine's clock, as windows of time see it."""

import time

from mirror.rules.windows import DAY_S, Windows


def opens_in_s(windows: Windows) -> float:
    """Say in how many seconds a window is open: 0.0 now."""
    now = time.localtime()
    return windows.opens_in_s(now.tm_wday, (now.tm_hour * 3_600 + now.tm_min * 60 + now.tm_sec) % DAY_S)
