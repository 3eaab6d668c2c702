"""Says which crates the code of a wasm module comes from, in bytes before compression.

usage: python3 scripts/wasm-parts.py MODULE BARE [FUNCTIONS]

MODULE has its name section; BARE becomes the same without. A generic function counts for the crate
that wrote it, whoever it was made for, an inlined one for where it ended up. With FUNCTIONS, as many
of the largest functions follow.
"""

import collections
import pathlib
import re
import sys

CUSTOM, IMPORTS, CODE, DATA = 0, 2, 10, 11


def leb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def text(data, at):
    length, at = leb(data, at)
    return data[at:at + length].decode(), at + length


def sections(data):
    """Each section's kind, body, and bytes as they stand."""
    at = 8
    while at < len(data):
        begin, kind = at, data[at]
        length, at = leb(data, at + 1)
        yield kind, data[at:at + length], data[begin:at + length]
        at += length


def imported_functions(body):
    """Rust imports functions only, each by the number of its type."""
    count, at = leb(body, 0)
    for _ in range(count):
        _, at = text(body, at)
        _, at = text(body, at)
        assert body[at] == 0, "an import that is no function"
        _, at = leb(body, at + 1)
    return count


def lengths(body):
    count, at = leb(body, 0)
    for _ in range(count):
        length, at = leb(body, at)
        yield length
        at += length


def names(body):
    """Function names, from subsection 1 of the custom section `name`."""
    found, (_, at) = {}, text(body, 0)
    while at < len(body):
        kind = body[at]
        length, at = leb(body, at + 1)
        end = at + length
        if kind == 1:
            count, at = leb(body, at)
            for _ in range(count):
                index, at = leb(body, at)
                found[index], at = text(body, at)
        at = end
    return found


def crate(name):
    """The crate in a mangled name; of an impl, that of its type or its trait, whichever comes first."""
    if match := re.match(r"_ZN(\d+)", name):
        first = name[match.end():match.end() + int(match[1])]
        if first.startswith("_$LT$"):
            found = re.search(r"[A-Za-z_]\w*(?=\.\.)", re.sub(r"\$\w+\$", " ", first))
            first = found[0] if found else "(built-in types)"
        return first
    if match := re.search(r"Cs[0-9A-Za-z]+_(\d+)_?", name):
        return name[match.end():match.end() + int(match[1])]
    return "(compiler and C)"


def main(module, bare, functions=0):
    first, sized, known, data = 0, [], {}, 0
    whole = pathlib.Path(module).read_bytes()
    kept = [section for kind, _, section in sections(whole) if kind != CUSTOM]
    pathlib.Path(bare).write_bytes(whole[:8] + b"".join(kept))
    for kind, body, _ in sections(whole):
        if kind == IMPORTS:
            first = imported_functions(body)
        elif kind == CODE:
            sized = list(lengths(body))
        elif kind == DATA:
            data = len(body)
        elif kind == CUSTOM and text(body, 0)[0] == "name":
            known = names(body)
    named = [(length, known.get(first + at, "?")) for at, length in enumerate(sized)]
    crates = collections.Counter({"(data: words, tables, messages)": data})
    for length, name in named:
        crates[crate(name)] += length
    for name, length in crates.most_common():
        print(f"{length:9,}  {name}")
    print(f"{sum(crates.values()):9,}  together")
    for length, name in sorted(named, reverse=True)[:int(functions)]:
        print(f"{length:9,}  {name}")


main(*sys.argv[1:])
