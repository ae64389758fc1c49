"""Second Look: cancer detection in public mammograms, a paper rebuilt as a reproducible report.

Research software, not a medical device. ARCHITECTURE.md draws the layers of this package.
"""

import os

# Before torch is imported: threads that wait for work sleep. By default they spin, which on two
# cores, one of them busy, made training of small networks more than five times slower (notebook
# 04's smoke run: 48 s instead of 242 s for its first half).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def version() -> str:
    """The version of the installed package."""
    # Only where it is asked for: it takes longer than everything else here.
    from importlib import metadata

    try:
        return metadata.version("second-look")
    except metadata.PackageNotFoundError:
        return "of a folder that is not installed"
