package PVE::Storage::Custom::CinderlibPlugin;

# Proxmox VE's storage type `cinderlib`: a volume of an array for each virtual disk.
#
# Everything that storage needs is in the service of cinderlib. This module converts Proxmox's calls
# to requests, and Proxmox's names to names of volumes: `vm-100-disk-0` is the name of a volume on
# the backend. The path of a disk is a link that the service creates when it attaches the volume.

use strict;
use warnings;

use Fcntl qw(O_RDONLY O_WRONLY);
use Time::Local qw(timegm);

use Cinderlib::Backend;
use Cinderlib::Service;
use Cinderlib::Stream;

use base qw(PVE::Storage::Plugin);

use constant {
    OLDEST_API => 10,
    NEWEST_API => 15,
    GIB        => 1024**3,
    # Seconds that pvestatd, which asks all storages one after another, may have to wait.
    SOON => 2,
    # Seconds of the cluster's lock (60) that a deletion may use. The rest of it becomes a task.
    UNDER_LOCK => 40,
    # Seconds between two warnings about an old capacity.
    WARN_AGAIN => 300,
};

# The folder of the links, as in the service's option `links`.
our $LINKS = '/dev/cinderlib';

# Proxmox treats storages of these types as shared by all nodes.
push @PVE::Storage::Plugin::SHARED_STORAGE, 'cinderlib'
    if !grep { $_ eq 'cinderlib' } @PVE::Storage::Plugin::SHARED_STORAGE;

my $FEATURES = {
    snapshot => { current => 1, snap => 1 },
    clone    => { base    => 1 },
    template => { current => 1 },
    copy     => { base    => 1, current => 1, snap => 1 },
    rename   => { current => 1 },
};

# --- the storage type ------------------------------------------------------------------------------

sub api {
    my $version = eval { PVE::Storage::APIVER() } // NEWEST_API;
    return $version < OLDEST_API ? OLDEST_API : $version > NEWEST_API ? NEWEST_API : $version;
}

sub type {
    return 'cinderlib';
}

sub plugindata {
    return {
        content => [{ images => 1, rootdir => 1, none => 1 }, { images => 1, rootdir => 1 }],
        format  => [{ raw => 1 }, 'raw'],
        'sensitive-properties' => {},
    };
}

sub properties {
    return {
        backend => {
            description => 'Name of the backend in the configuration of the cinderlib service.',
            type        => 'string',
            pattern     => '[A-Za-z0-9_][A-Za-z0-9_.-]*',
        },
        'cinderlib-socket' => {
            description => "Socket of the cinderlib service. Default: $Cinderlib::Service::DEFAULT_SOCKET",
            type        => 'string',
            format      => 'pve-storage-path',
        },
    };
}

sub options {
    return {
        backend            => { fixed    => 1 },
        'cinderlib-socket' => { optional => 1 },
        pool               => { optional => 1 },
        nodes              => { optional => 1 },
        shared             => { optional => 1 },
        disable            => { optional => 1 },
        content            => { optional => 1 },
        bwlimit            => { optional => 1 },
    };
}

sub on_add_hook {
    my ($class, $storeid, $scfg) = @_;
    Cinderlib::Backend->new($scfg)->about('') if !$scfg->{disable};
    return;
}

sub check_connection {
    my ($class, $storeid, $scfg) = @_;
    Cinderlib::Backend->new($scfg)->request('GET', '/health', timeout => SOON);
    return 1;
}

sub activate_storage {
    return;
}

sub deactivate_storage {
    return;
}

my %warned;

sub status {
    my ($class, $storeid, $scfg) = @_;
    my %how = (query => { pool => $scfg->{pool} }, timeout => SOON);
    my $known = Cinderlib::Backend->new($scfg)->about('capacity', %how);
    if ($known->{stale} && time - ($warned{$storeid} // 0) > WARN_AGAIN) {
        $warned{$storeid} = time;
        my $why = $known->{error} // 'the storage does not answer';
        warn "storage '$storeid': its capacity is $known->{age} s old: $why\n";
    }
    return (map({ $known->{$_} // 0 } qw(total_bytes free_bytes used_bytes)), 1);
}

sub get_identity {
    my ($class, $scfg) = @_;
    return "cinderlib:$scfg->{backend}";
}

# --- names -------------------------------------------------------------------------------------------

sub parse_volname {
    my ($class, $volname) = @_;
    if ($volname =~ m{\A(?:(base-([0-9]+)-[A-Za-z0-9_.-]+)/)?((vm|base)-([0-9]+)-[A-Za-z0-9_.-]+)\z}) {
        return ('images', $3, $5, $1, $2, $4 eq 'base' ? 'base-' : undef, 'raw');
    }
    die "'$volname' is not the name of a disk on a storage of type cinderlib\n";
}

# The name of the volume of a disk. The copy of a snapshot, which has no name in Proxmox, has an @.
sub _name {
    my ($class, $volname, $snapname) = @_;
    my $name = ($class->parse_volname($volname))[1];
    return $name if !defined $snapname;
    $snapname =~ /\A([A-Za-z0-9_-]+)\z/ or die "'$snapname' is not the name of a snapshot\n";
    return "$name\@$1";
}

sub filesystem_path {
    my ($class, $scfg, $volname, $snapname) = @_;
    my ($vtype, undef, $vmid) = $class->parse_volname($volname);
    my $path = _link($scfg, $class->_name($volname, $snapname));
    return wantarray ? ($path, $vmid, $vtype) : $path;
}

sub path {
    my ($class, $scfg, $volname, $storeid, $snapname) = @_;
    return $class->filesystem_path($scfg, $volname, $snapname);
}

sub _link {
    my ($scfg, $name) = @_;
    $scfg->{backend} =~ /\A([A-Za-z0-9_][A-Za-z0-9_.-]*)\z/
        or die "The name of the backend '$scfg->{backend}' cannot be part of a path\n";
    return "$LINKS/$1/$name";
}

# The next free name for a disk of a guest.
sub _free_name {
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

# --- volumes -------------------------------------------------------------------------------------------

sub alloc_image {
    my ($class, $storeid, $scfg, $vmid, $fmt, $name, $size) = @_;
    die "The format '$fmt' is not possible on storage '$storeid'; use raw\n" if $fmt ne 'raw';
    # pvesm passes an empty name.
    $name = undef if defined $name && $name eq '';
    if (defined $name) {
        my ($vtype, $base, $owner) = ($class->parse_volname($name))[0, 1, 2];
        die "The name '$name' does not belong to guest $vmid\n" if $owner != $vmid;
        $name = $base;
    }
    my $backend = Cinderlib::Backend->new($scfg);
    $name //= _free_name($backend, $vmid);
    $backend->create($name, $size * 1024);
    return $name;
}

sub free_image {
    my ($class, $storeid, $scfg, $volname) = @_;
    my ($backend, $name) = (Cinderlib::Backend->new($scfg), $class->_name($volname));
    my $volume = $backend->find($name) or return;
    die "The disk '$volname' on storage '$storeid' is protected; remove the protection first\n"
        if $volume->{metadata}{protected};
    _remove_copy($backend, $_->{name}) for @{ $backend->volumes("$name\@") };
    $backend->detach($name);
    return $backend->delete($name, UNDER_LOCK);
}

sub list_images {
    my ($class, $storeid, $scfg, $vmid, $vollist) = @_;
    my $volumes = Cinderlib::Backend->new($scfg)->volumes;
    my %names = map { ($_->{id} => $_->{name}) } @$volumes;
    my %wanted = map { ((split m{[/:]}, $_)[-1] => 1) } @{ $vollist // [] };
    my @found;
    for my $volume (@$volumes) {
        my $name = $volume->{name};
        next if $name !~ /\A(?:vm|base)-([0-9]+)-[A-Za-z0-9_.-]+\z/;
        my $owner = $1;
        next if $vollist ? !$wanted{$name} : defined $vmid && $owner ne $vmid;
        my $parent = _parent($volume, \%names);
        push @found, {
            volid  => "$storeid:" . (defined $parent ? "$parent/$name" : $name),
            name   => $name,
            vmid   => $owner,
            format => 'raw',
            size   => $volume->{size} * GIB,
            ctime  => _seconds($volume->{created_at}),
            (defined $parent ? (parent => $parent) : ()),
            _attributes($volume),
        };
    }
    return \@found;
}

# The template that a linked clone was created from, if it is still a volume of the backend.
sub _parent {
    my ($volume, $names) = @_;
    my $name = defined $volume->{source_volid} ? $names->{ $volume->{source_volid} } : undef;
    return defined $name && $name =~ /\Abase-[0-9]+-[A-Za-z0-9_.-]+\z/ ? $name : undef;
}

sub _attributes {
    my ($volume) = @_;
    my $metadata = $volume->{metadata} // {};
    return (
        (defined $metadata->{notes} ? (notes     => $metadata->{notes}) : ()),
        ($metadata->{protected}     ? (protected => 1)                  : ()),
    );
}

sub _seconds {
    my ($text) = @_;
    return if !defined $text;
    my @time = $text =~ /\A([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})/ or return;
    return timegm(@time[5, 4, 3, 2], $time[1] - 1, $time[0]);
}

sub volume_size_info {
    my ($class, $scfg, $storeid, $volname, $timeout) = @_;
    my $volume = Cinderlib::Backend->new($scfg)->get($class->_name($volname), timeout => $timeout);
    my $size = $volume->{size} * GIB;
    return $size if !wantarray;
    my $parent = ($class->parse_volname($volname))[3];
    return ($size, 'raw', $size, $parent, _seconds($volume->{created_at}));
}

sub volume_resize {
    my ($class, $scfg, $storeid, $volname, $size, $running, $snapname) = @_;
    die "A snapshot cannot be resized on storage '$storeid'\n" if defined $snapname;
    Cinderlib::Backend->new($scfg)->extend($class->_name($volname), $size);
    return 1;
}

sub rename_volume {
    my ($class, $scfg, $storeid, $source, $target_vmid, $target) = @_;
    my ($name, $base) = ($class->parse_volname($source))[1, 3];
    my $backend = Cinderlib::Backend->new($scfg);
    $target //= _free_name($backend, $target_vmid);
    _rename($backend, $name, $target);
    return "$storeid:" . (defined $base ? "$base/$target" : $target);
}

sub _rename {
    my ($backend, $name, $new) = @_;
    # The link has the name of the volume, so no node may use it.
    $backend->release($name);
    $backend->rename($name, $new);
    return;
}

sub get_volume_attribute {
    my ($class, $scfg, $storeid, $volname, $attribute) = @_;
    return if $attribute ne 'notes' && $attribute ne 'protected';
    my %found = _attributes(Cinderlib::Backend->new($scfg)->get($class->_name($volname)));
    return $attribute eq 'notes' ? $found{notes} // '' : $found{protected} // 0;
}

sub update_volume_attribute {
    my ($class, $scfg, $storeid, $volname, $attribute, $value) = @_;
    die "The attribute '$attribute' is not supported on storage '$storeid'\n"
        if $attribute ne 'notes' && $attribute ne 'protected';
    my $new = $attribute eq 'notes' && defined $value ? "$value" : $value ? 'true' : undef;
    Cinderlib::Backend->new($scfg)->set($class->_name($volname), $attribute, $new);
    return;
}

# --- devices -------------------------------------------------------------------------------------------

sub activate_volume {
    my ($class, $storeid, $scfg, $volname, $snapname) = @_;
    my ($backend, $name) = (Cinderlib::Backend->new($scfg), $class->_name($volname, $snapname));
    # Arrays map volumes, not snapshots: the data of a snapshot is read from a copy.
    $backend->clone_snapshot($class->_name($volname), $snapname, $name) if defined $snapname;
    $backend->attach($name, _link($scfg, $name));
    return;
}

sub deactivate_volume {
    my ($class, $storeid, $scfg, $volname, $snapname) = @_;
    my ($backend, $name) = (Cinderlib::Backend->new($scfg), $class->_name($volname, $snapname));
    defined $snapname ? _remove_copy($backend, $name) : $backend->detach($name);
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
sub _remove_copy {
    my ($backend, $copy) = @_;
    $backend->detach($copy);
    $backend->delete($copy);
    return;
}

# --- snapshots, templates, clones --------------------------------------------------------------------

sub volume_snapshot {
    my ($class, $scfg, $storeid, $volname, $snap) = @_;
    Cinderlib::Backend->new($scfg)->take_snapshot($class->_name($volname), $snap);
    return;
}

sub volume_snapshot_delete {
    my ($class, $scfg, $storeid, $volname, $snap, $running) = @_;
    my $backend = Cinderlib::Backend->new($scfg);
    _remove_copy($backend, $class->_name($volname, $snap));
    $backend->delete_snapshot($class->_name($volname), $snap);
    return;
}

sub volume_rollback_is_possible {
    my ($class, $scfg, $storeid, $volname, $snap, $blockers) = @_;
    my $name = $class->_name($volname);
    my @newer = Cinderlib::Backend->new($scfg)->revert_blockers($name, $snap) or return 1;
    push @{ $blockers // [] }, @newer;
    my $names = join(', ', map { "'$_'" } @newer);
    die "$name cannot be rolled back to '$snap', because the array may delete the newer snapshots"
        . " $names; delete them first\n";
}

sub volume_snapshot_rollback {
    my ($class, $scfg, $storeid, $volname, $snap) = @_;
    my ($backend, $name) = (Cinderlib::Backend->new($scfg), $class->_name($volname));
    $backend->release($name);
    $backend->revert($name, $snap);
    return;
}

sub volume_snapshot_info {
    my ($class, $scfg, $storeid, $volname) = @_;
    my $snapshots = Cinderlib::Backend->new($scfg)->snapshots($class->_name($volname));
    return {
        map { ($_->{name} => { id => $_->{id}, timestamp => _seconds($_->{created_at}) }) }
            grep { length $_->{name} } @$snapshots
    };
}

sub volume_snapshot_needs_fsfreeze {
    return 1;
}

sub volume_qemu_snapshot_method {
    return 'storage';
}

sub create_base {
    my ($class, $storeid, $scfg, $volname) = @_;
    my ($name, $base, $is_base) = ($class->parse_volname($volname))[1, 3, 5];
    die "'$volname' is a template already\n" if $is_base;
    (my $new = $name) =~ s/\Avm-/base-/;
    my $backend = Cinderlib::Backend->new($scfg);
    # An earlier call may have been killed after the rename, before Proxmox wrote its configuration.
    _rename($backend, $name, $new) if $backend->find($name) || !$backend->find($new);
    return defined $base ? "$base/$new" : $new;
}

sub clone_image {
    my ($class, $scfg, $storeid, $volname, $vmid, $snap) = @_;
    my ($name, $is_base) = ($class->parse_volname($volname))[1, 5];
    die "A linked clone needs a template; '$volname' is not one\n" if !$is_base || defined $snap;
    my $backend = Cinderlib::Backend->new($scfg);
    my $new = _free_name($backend, $vmid);
    $backend->clone($name, $new);
    return "$name/$new";
}

sub volume_has_feature {
    my ($class, $scfg, $feature, $storeid, $volname, $snapname) = @_;
    my $is_base = ($class->parse_volname($volname))[5];
    my $kind = defined $snapname ? 'snap' : $is_base ? 'base' : 'current';
    return $FEATURES->{$feature}{$kind} ? 1 : undef;
}

# --- export and import -----------------------------------------------------------------------------------

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
