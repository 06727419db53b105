"""Proxmox's storage type, with a Perl program in the place of Proxmox."""

from __future__ import annotations

import pytest
from proxmox.conftest import Cluster

pytestmark = pytest.mark.slow


def test_the_life_of_virtual_disks(cluster: Cluster) -> None:
    result = cluster.prove("disks")
    assert result.returncode == 0, result.stdout
