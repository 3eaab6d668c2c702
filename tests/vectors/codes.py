"""Checks code.json a second time, from docs/protocol.md, without any code of this repository.

    python3 tests/vectors/codes.py
"""

import json
import pathlib
import re

HERE = pathlib.Path(__file__).parent
WORDS = (HERE / "../../core/src/code/words.txt").read_text().split()
# White_Space of the Unicode Character Database, then what section 1 adds.
WHITE = [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
         0x202F, 0x205F, 0x3000]
ADDED = [*map(ord, "-_.,"), 0xAD, *range(0x200B, 0x2010), *range(0x2010, 0x2016), 0x2060, 0x2212,
         0xFE58, 0xFE63, 0xFF0D, 0xFEFF]
SEPARATORS = "".join(map(chr, sorted({*WHITE, *ADDED})))
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"


class Refused(Exception):
    pass


def refuse(kind, **details):
    raise Refused({"kind": kind, **details})


def split(typed):
    """Digits, and the list of words as they were typed."""
    if len(typed.encode()) > 320:
        refuse("too-long")
    if not typed.strip(SEPARATORS):
        refuse("empty")
    for character in typed:
        if character not in SEPARATORS + LETTERS + DIGITS:
            refuse("unexpected-character", character=character)
    match = re.fullmatch("([^a-zA-Z]*)([^0-9]*)", typed)
    if not match:
        refuse("digits-after-words")
    digits = "".join(c for c in match[1] if c in DIGITS)
    words = re.split(f"[{re.escape(SEPARATORS)}]+", match[2].strip(SEPARATORS))
    return digits, [word.lower() for word in words if word]


def check_digits(digits, words):
    if not digits and words:
        refuse("nameplate-missing")
    if not 4 <= len(digits) <= 12:
        refuse("nameplate-length", found=len(digits))


def code(typed):
    digits, words = split(typed)
    check_digits(digits, words)
    for position, word in enumerate(words, 1):
        if position > 16:
            refuse("too-many-words")
        if word not in WORDS:
            refuse("unknown-word", position=position, suggestion=nearest(word))
    return {"nameplate": digits, "words": words, "canonical": "-".join([digits, *words]),
            "secret_bits": 10 * len(words)}


def nameplate(typed):
    digits, words = split(typed)
    if words:
        refuse("words-forbidden")
    check_digits(digits, words)
    return {"nameplate": digits}


def nearest(typed):
    """The word with the same four letters, else the first of those fewest slips away, two at most."""
    if len(typed) > 12:
        return None
    for word in WORDS:
        if len(typed) >= 4 and word.startswith(typed[:4]):
            return word
    slips, word = min((distance(typed, word), at, word) for at, word in enumerate(WORDS))[::2]
    return word if slips <= 2 and slips < len(typed) else None


def distance(a, b):
    """Letters changed, added or dropped, and neighbours swapped, each place once."""
    known = {}
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if i == 0 or j == 0:
                known[i, j] = i + j
                continue
            ways = [known[i - 1, j] + 1, known[i, j - 1] + 1,
                    known[i - 1, j - 1] + (a[i - 1] != b[j - 1])]
            if i > 1 and j > 1 and a[i - 2:i] == b[j - 1] + b[j - 2]:
                ways.append(known[i - 2, j - 2] + 1)
            known[i, j] = min(ways)
    return known[len(a), len(b)]


def answer(function, typed):
    try:
        return {"typed": typed, **function(typed)}
    except Refused as refused:
        return {"typed": typed, "error": refused.args[0]}


vectors = json.loads((HERE / "code.json").read_text())
assert vectors["separators"] == [f"U+{ord(c):04X}" for c in SEPARATORS]
count = 0
for function, rows in [
    (code, vectors["codes"]), (code, vectors["refused"]), (nameplate, vectors["nameplates"]),
]:
    for row in rows:
        assert answer(function, row["typed"]) == row, (answer(function, row["typed"]), row)
        count += 1
kinds = {row["error"]["kind"] for row in vectors["refused"] + vectors["nameplates"] if "error" in row}
assert len(kinds) == 9, kinds
print(f"{count} codes and {len(SEPARATORS)} separators agree")
