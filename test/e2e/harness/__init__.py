# SPDX-License-Identifier: Apache-2.0
"""Real machines in miniature: nodes and pods as network namespaces, the real binary, real clients and servers."""
