"""Second Look: cancer detection in public mammograms, a paper rebuilt as a reproducible report.

Research software, not a medical device. ARCHITECTURE.md draws the layers of this package.
"""

import os

# Before torch is imported: threads that wait for work sleep. By default they spin, which on two
# cores, one of them busy, made training of small networks more than five times slower (notebook
# 04's smoke run: 48 s instead of 242 s for its first half).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
