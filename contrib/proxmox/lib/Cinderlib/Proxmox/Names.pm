package Cinderlib::Proxmox::Names;

# The names of disks in Proxmox, and of their volumes on the backend.

use strict;
use warnings;

use Time::Local qw(timegm);

# The folder of the links, as in the service's option `links`.
our $LINKS = '/dev/cinderlib';

sub parse_volname {
    my ($class, $volname) = @_;
    if ($volname =~ m{\A(?:(base-([0-9]+)-[A-Za-z0-9_.-]+)/)?((vm|base)-([0-9]+)-[A-Za-z0-9_.-]+)\z}) {
        return ('images', $3, $5, $1, $2, $4 eq 'base' ? 'base-' : undef, 'raw');
    }
    die "'$volname' is not the name of a disk on a storage of type cinderlib\n";
}

# The name of the volume of a disk. The copy of a snapshot, which has no name in Proxmox, has an @.
sub volume_name {
    my ($class, $volname, $snapname) = @_;
    my $name = ($class->parse_volname($volname))[1];
    return $name if !defined $snapname;
    $snapname =~ /\A([A-Za-z0-9_-]+)\z/ or die "'$snapname' is not the name of a snapshot\n";
    return "$name\@$1";
}

sub filesystem_path {
    my ($class, $scfg, $volname, $snapname) = @_;
    my ($vtype, undef, $vmid) = $class->parse_volname($volname);
    my $path = $class->device_link($scfg, $class->volume_name($volname, $snapname));
    return wantarray ? ($path, $vmid, $vtype) : $path;
}

sub path {
    my ($class, $scfg, $volname, $storeid, $snapname) = @_;
    return $class->filesystem_path($scfg, $volname, $snapname);
}

# The path of the link to the device of a volume.
sub device_link {
    my ($class, $scfg, $name) = @_;
    $scfg->{backend} =~ /\A([A-Za-z0-9_][A-Za-z0-9_.-]*)\z/
        or die "The name of the backend '$scfg->{backend}' cannot be part of a path\n";
    return "$LINKS/$1/$name";
}

# The next free name for a disk of a guest.
sub free_name {
    my ($backend, $vmid) = @_;
    my %used;
    for my $prefix ("vm-$vmid-disk-", "base-$vmid-disk-") {
        for my $volume (@{ $backend->volumes($prefix) }) {
            $used{$1} = 1 if $volume->{name} =~ /\A\Q$prefix\E([0-9]+)\z/;
        }
    }
    my $number = 0;
    $number++ while $used{$number};
    return "vm-$vmid-disk-$number";
}

# The time of a record, in seconds since 1970.
sub seconds {
    my ($text) = @_;
    return if !defined $text;
    my @time = $text =~ /\A([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})/ or return;
    return timegm(@time[5, 4, 3, 2], $time[1] - 1, $time[0]);
}

1;
