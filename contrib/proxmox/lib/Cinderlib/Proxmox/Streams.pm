package Cinderlib::Proxmox::Streams;

# Export and import of disks.

use strict;
use warnings;

use Fcntl qw(O_RDONLY O_WRONLY);

use Cinderlib::Backend;
use Cinderlib::Stream;

sub volume_export_formats {
    my ($class, $scfg, $storeid, $volname, $snapshot, $base_snapshot, $with_snapshots) = @_;
    return defined $base_snapshot || $with_snapshots ? () : ('raw+size');
}

sub volume_import_formats {
    my ($class, $scfg, $storeid, $volname, $snapshot, $base_snapshot, $with_snapshots) = @_;
    return $class->volume_export_formats($scfg, $storeid, $volname, undef, $base_snapshot, $with_snapshots);
}

sub volume_export {
    my ($class, $scfg, $storeid, $fh, $volname, $format, $snapshot, $base_snapshot, $with_snapshots) = @_;
    _refuse_format($storeid, $format, $base_snapshot, $with_snapshots);
    my $size = $class->volume_size_info($scfg, $storeid, $volname);
    my $was_active = -e scalar $class->filesystem_path($scfg, $volname, $snapshot);
    my $path = $class->map_volume($storeid, $scfg, $volname, $snapshot);
    my $copied = eval {
        sysopen(my $device, $path, O_RDONLY) or die "$path cannot be opened: $!\n";
        # A snapshot can be smaller than the volume is now.
        $size = sysseek($device, 0, 2) + 0 if defined $snapshot;
        sysseek($device, 0, 0);
        Cinderlib::Stream::write_all($fh, pack('Q<', $size));
        Cinderlib::Stream::from_device($device, $fh, $size);
        1;
    };
    my $error = $@;
    $class->deactivate_volume($storeid, $scfg, $volname, $snapshot) if !$was_active;
    die $error if !$copied;
    return;
}

sub volume_import {
    my ($class, $scfg, $storeid, $fh, $volname, $format, $snapshot, $base_snapshot, $with_snapshots, $allow_rename) = @_;
    _refuse_format($storeid, $format, $base_snapshot, $with_snapshots);
    my ($name, $vmid) = ($class->parse_volname($volname))[1, 2];
    if (Cinderlib::Backend->new($scfg)->find($name)) {
        die "The disk '$name' already exists on storage '$storeid'\n" if !$allow_rename;
        $name = undef;
    }
    my $size = unpack('Q<', Cinderlib::Stream::read_exactly($fh, 8));
    my $new = $class->alloc_image($storeid, $scfg, $vmid, 'raw', $name, int(($size + 1023) / 1024));
    my $copied = eval {
        my $path = $class->map_volume($storeid, $scfg, $new);
        sysopen(my $device, $path, O_WRONLY) or die "$path cannot be opened: $!\n";
        Cinderlib::Stream::to_device($fh, $device, $size);
        close($device) or die "$path cannot be written: $!\n";
        $class->deactivate_volume($storeid, $scfg, $new);
        1;
    };
    if (!$copied) {
        my $error = $@;
        eval { $class->free_image($storeid, $scfg, $new); 1 } or warn $@;
        die $error;
    }
    return "$storeid:$new";
}

sub _refuse_format {
    my ($storeid, $format, $base_snapshot, $with_snapshots) = @_;
    die "The format '$format' is not possible on storage '$storeid'; use raw+size\n"
        if $format ne 'raw+size' || defined $base_snapshot || $with_snapshots;
    return;
}

1;
