"""Print the licence of each installed package, and fail if one is not on the list of those that allow any use.

    python -m scripts.dev.licences

The licence is what the package's metadata states. `make audit` runs this after a search for known vulnerabilities.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions

ALLOWED = frozenset({
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "HPND", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
    # as classifiers and older metadata state them
    "3-Clause BSD License", "Apache 2.0", "Apache 2.0 License", "Apache Software License", "BSD License", "FreeBSD",
    "ISC License (ISCL)", "MIT License", "Mozilla Public License 2.0 (MPL 2.0)", "Python Software Foundation License",
    "The Unlicense (Unlicense)", "zlib/libpng License",
})  # fmt: skip
"""Licences that allow any use of what is made with the package."""
EXCEPTIONS: Mapping[str, str] = {
    "bpy": "GPL-3.0; Blender, for [datagen] only, in a separate process, and not distributed with vidamodal",
    "frozendict": "LGPL-3.0; a dependency of vector-quantize-pytorch, used unchanged",
    "openexr": "its metadata state none; the project is under BSD-3-Clause",
}
"""Packages with another licence or none, and why they are used."""
VENDOR = ("nvidia-", "cuda-")
"""Start of the names of the libraries that a CUDA build of PyTorch loads."""


def stated_licence(package: Distribution) -> str:
    """Return the licence in a package's metadata: its SPDX expression, its classifiers, or its text; "" if none."""
    metadata = package.metadata
    if expression := metadata["License-Expression"]:
        return str(expression)
    classifiers = [each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier") or () if "License ::" in each]
    if classifiers:
        return " AND ".join(classifiers)
    return str(metadata["License"] or "").strip().split("\n")[0]


def is_allowed(licence: str) -> bool:
    """Return True if all licences of an SPDX expression, or all of one of its alternatives, are on the list."""
    if licence in ALLOWED:
        return True
    allowed = {_plain(each) for each in ALLOWED}
    options = (option.split(" AND ") for option in _plain(licence).split(" OR "))
    return any(all(part.strip() in allowed for part in option) for option in options)


def _plain(licence: str) -> str:
    return re.sub(r"[()]", "", licence)


def report(packages: Iterable[Distribution]) -> tuple[list[str], list[str]]:
    """Return a line for each package, and the lines of those that are not allowed."""
    lines, refused = [], []
    by_name = {package.name.lower(): package for package in packages}
    for name, package in sorted(by_name.items()):
        licence = stated_licence(package)
        line = f"{package.name} {package.version}: {licence or 'no licence stated'}"
        if name in EXCEPTIONS:
            line += f" (allowed: {EXCEPTIONS[name]})"
        elif name.startswith(VENDOR):
            line += " (allowed: a library of the GPU's vendor)"
        elif not is_allowed(licence):
            refused.append(line)
        lines.append(line)
    return lines, refused


def main() -> int:
    """Print the report and return the exit status."""
    lines, refused = report(distributions())
    print("\n".join(lines))
    for line in refused:
        print(f"licences: not allowed: {line}. Leave it out, or add it to the exceptions.", file=sys.stderr)
    print(f"licences: {len(lines)} packages, {len(refused)} not allowed")
    return int(bool(refused))


if __name__ == "__main__":
    raise SystemExit(main())
