"""A clock for what is handed one: seconds pass when a test says so, by `clock.now += 5`."""


class Clock:
    """Called like `time.time` or `time.monotonic`."""

    def __init__(self, now=1_700_000_000.0):
        self.now = now

    def __call__(self):
        return self.now
