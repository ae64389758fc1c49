"""Second Look: cancer detection in public mammograms, a paper rebuilt as a reproducible report.

Research software, not a medical device. ARCHITECTURE.md draws the layers of this package.
"""

import os

# Before torch is imported: threads that wait for work sleep. By default they spin, which on a busy
# machine makes training of small networks five times slower (48 s against 242 s seen for notebook
# 04's smoke run on two cores, one of them busy), and costs nothing on an idle one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
