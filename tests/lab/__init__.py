# SPDX-License-Identifier: GPL-2.0-or-later
"""A customer, the Internet and a cluster in network namespaces; see topology.py for the drawing."""
