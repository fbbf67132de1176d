# SPDX-License-Identifier: Apache-2.0
"""Every work there is, in the order of a round."""
from contenders import ENVOY, NONE, OURS, OURS_35
from stalled import Stalled
from structure import CountedBulk, CountedRequests, Traced
from work import EVERYBODY, MESHES, Bulk, Idle, Latency, NewConnections, Requests, Routes, StartUp, TwoWorkers

WORKS = (Bulk("bulk-1", "one bulk stream", 1, contenders=EVERYBODY), Bulk("bulk-8", "eight bulk streams", 8),
         Bulk("bulk-8-2w", "eight bulk streams, two workers", 8, workers=2),
         Requests("requests-1", "1 KB responses over one kept connection", "1k", 1),
         Requests("requests-32", "1 KB responses over 32 kept connections", "1k", 32),
         TwoWorkers("requests-32-2w", "1 KB responses over 32 kept connections, two workers", "1k", 32, MESHES),
         Requests("requests-512", "1 KB responses over 512 kept connections", "1k", 512),
         Requests("requests-100k", "100 KB responses over 32 kept connections", "100k", 32, (NONE, OURS, OURS_35, ENVOY)),
         NewConnections(), Latency(), *(Routes(n) for n in (10, 1000, 5000)), Idle(), StartUp(), Stalled(),
         *(Traced(n) for n in (1, 32)), *(CountedRequests(n) for n in (1, 32)), CountedBulk())
