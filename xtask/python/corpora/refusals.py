"""Judges whether the message of a refusal tells an operator what is refused, and what to do."""

import re

# what is refused: a column, a member or a line, or the kind of a file or of a part of it
SUBJECT = re.compile(
    r"(?:column|member|dictionary|file) `[^`]*`|two columns are called `|line \d+: |\bencrypted\b|\bFeather version \d"
    r"|\bcompressed (?:in the form|with a codec)|\bthe encoding [A-Z_]+\b|\ban encoding of\b|\ba dictionary\b|\bchecksum\b"
    r"|\bis not UTF-8\b|\ba (?:batch|group) of rows\b|\ba page of\b|\bit (?:is empty|looks as if)\b|\bno columns\b"
    r"|\bspecification of (?:Arrow|Parquet)\b"
)
# what to do about it
ADVICE = re.compile(
    r"(?:^|[:;,]|\bor|\band) (?:please )?(?:write|declare|correct|flatten|store|give|leave|add|rename|replace|copy|turn|remove)\b",
    re.IGNORECASE,
)


def is_clear(said, alike):
    """Whether a refusal names a column or a kind of thing, and an advice.

    `alike` is false if the readers read different tables, so that the file may be damaged. Of another file, only a checksum
    shows damage.
    """
    if SUBJECT.search(said) is None:
        return False
    if "checksum" in said or (alike is False and "damaged" in said):
        return True
    return ADVICE.search(said) is not None and "damaged" not in said
