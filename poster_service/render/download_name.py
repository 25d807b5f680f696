"""The name under which a caller wants an answer to be saved, and what a name may not have.

It stands in a header and becomes a file on a caller's disk: so it has no separator of folders, no
control character, and none that shows a name in another order than it has.
"""

import unicodedata

#: The most that common file systems take.
MOST_BYTES = 255
#: Bidirectional embeddings, overrides and isolates (Unicode, TR 9), which let `exe.txt` be shown as
#: `txt.exe`; joiners and marks, which writing and emoji need, are not among them.
_REORDERING = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def check_download_name(name: str) -> str:
    """A name as it is, if a file may be called so everywhere.

    Raises:
        ValueError: It may not; the text is for the caller.
    """
    if len(name.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES} bytes")
    if "/" in name or "\\" in name:
        raise ValueError("has a slash or backslash")
    kinds = {unicodedata.category(one) for one in name}
    if kinds & {"Cc", "Cs", "Zl", "Zp"} or not _REORDERING.isdisjoint(name):
        raise ValueError("has a control character")
    if not name.strip(" ."):
        raise ValueError("has only dots and spaces")
    return name
