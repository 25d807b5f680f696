"""How long things take, by a running mean that one odd case cannot spoil for long.

Nothing is ever refused by an estimate alone while there is room to find out: a free slot is given
whatever the mean says, and what it took corrects the mean.
"""

#: Share of a new value in the mean, once there are some.
GAIN = 0.1
#: A value counts for at most so many times the mean: one page that hangs for a minute is not to
#: have all others refused.
MOST_TIMES = 4.0


class Mean:
    """A running mean of seconds.

    Attributes:
        seconds: The mean; what it was told to begin with until the first value is known.
        count: Values so far.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.count = 0

    def note(self, seconds: float) -> None:
        """Take one more value: the first counts whole, and those that follow less and less."""
        gain = max(GAIN, 1 / (self.count + 1))
        if self.count:
            seconds = min(seconds, self.seconds * MOST_TIMES + 0.1)
        self.seconds += gain * (seconds - self.seconds)
        self.count += 1
