"""Names that have been used: 100,000 take 1.3 MB, where a set of their digests takes 12."""

import hashlib

#: Buckets, by the first bits of the digest: some tens of names in each of a large batch.
BUCKETS = 4096
#: Bytes of a digest that are kept. That two of 100,000 names are equal by chance has a probability
#: of less than 3 in 10,000,000,000.
KEPT = 8


class UsedNames:
    """Names of one batch, of any length."""

    def __init__(self) -> None:
        self._buckets: dict[int, bytearray] = {}

    def add(self, name: str) -> bool:
        """Use a name; False if it has been used before."""
        digest = hashlib.blake2b(name.encode(), digest_size=KEPT + 2).digest()
        place, kept = int.from_bytes(digest[KEPT:]) % BUCKETS, digest[:KEPT]
        bucket = self._buckets.setdefault(place, bytearray())
        at = bucket.find(kept)
        while at >= 0 and at % KEPT:  # across two digests
            at = bucket.find(kept, at + 1)
        if at >= 0:
            return False
        bucket += kept
        return True
