package PVE::Storage::Plugin;

# Stands in for Proxmox's base class in these tests: only what a storage type must find there.

use strict;
use warnings;

our @SHARED_STORAGE = ('iscsi', 'nfs', 'rbd');

1;
