package Cinderlib::Proxmox::Devices;

# The devices of disks on this node.

use strict;
use warnings;

use Cinderlib::Backend;

sub activate_volume {
    my ($class, $storeid, $scfg, $volname, $snapname) = @_;
    my ($backend, $name) = (Cinderlib::Backend->new($scfg), $class->volume_name($volname, $snapname));
    # Arrays map volumes, not snapshots: the data of a snapshot is read from a copy.
    $backend->clone_snapshot($class->volume_name($volname), $snapname, $name) if defined $snapname;
    $backend->attach($name, $class->device_link($scfg, $name));
    return;
}

sub deactivate_volume {
    my ($class, $storeid, $scfg, $volname, $snapname) = @_;
    my ($backend, $name) = (Cinderlib::Backend->new($scfg), $class->volume_name($volname, $snapname));
    defined $snapname ? Cinderlib::Proxmox::Devices::remove_copy($backend, $name) : $backend->detach($name);
    return;
}

sub map_volume {
    my ($class, $storeid, $scfg, $volname, $snapname) = @_;
    $class->activate_volume($storeid, $scfg, $volname, $snapname);
    return scalar $class->filesystem_path($scfg, $volname, $snapname);
}

sub unmap_volume {
    return 1;
}

# Remove the copy of a snapshot, if there is one.
sub remove_copy {
    my ($backend, $copy) = @_;
    $backend->detach($copy);
    $backend->delete($copy);
    return;
}

1;
