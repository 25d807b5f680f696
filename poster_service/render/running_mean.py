"""How long renders take: a running mean that one slow page cannot spoil for long.

No render is refused by an estimate alone while a slot is free: a free slot is given at any
mean, and the time that it then takes corrects the mean.
"""

#: Share of a new value in the mean, once there are some.
GAIN = 0.1
#: A value counts for at most so many times the mean: one page that hangs for a minute must not have
#: all others refused.
MAX_TIMES = 4.0


class RunningMean:
    """A running mean of seconds.

    Attributes:
        seconds: The mean; the initial value until the first one is known.
        count: Values so far.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.count = 0

    def add(self, seconds: float) -> None:
        """Add a value: the first counts whole, and those that follow less and less."""
        gain = max(GAIN, 1 / (self.count + 1))
        if self.count:
            seconds = min(seconds, self.seconds * MAX_TIMES + 0.1)
        self.seconds += gain * (seconds - self.seconds)
        self.count += 1
