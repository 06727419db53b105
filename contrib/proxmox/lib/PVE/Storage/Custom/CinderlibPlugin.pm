package PVE::Storage::Custom::CinderlibPlugin;

# Proxmox VE's storage type `cinderlib`: a volume of an array for each virtual disk.
#
# Everything that storage needs is in the service of cinderlib. This module converts Proxmox's calls
# to requests, and Proxmox's names to names of volumes: `vm-100-disk-0` is the name of a volume on
# the backend. The path of a disk is a link that the service creates when it attaches the volume.

use strict;
use warnings;

use Cinderlib::Backend;
use Cinderlib::Proxmox::Devices;
use Cinderlib::Proxmox::Names;
use Cinderlib::Proxmox::Configuration;
use Cinderlib::Proxmox::Snapshots;
use Cinderlib::Proxmox::Streams;
use Cinderlib::Service;

use base qw(
    Cinderlib::Proxmox::Names
    Cinderlib::Proxmox::Devices
    Cinderlib::Proxmox::Snapshots
    Cinderlib::Proxmox::Streams
    PVE::Storage::Plugin
);

use constant {
    OLDEST_API => 10,
    NEWEST_API => 15,
    GIB        => 1024**3,
    # Seconds that pvestatd, which asks all storages one after another, may have to wait.
    SOON => 2,
    # Seconds between two warnings about an old capacity.
    WARN_AGAIN => 300,
};

# Seconds of the cluster's lock (60) that a call may use. The rest of a deletion becomes a task of
# Proxmox; the service finishes the rest of a new disk.
our $UNDER_LOCK = 40;

# Proxmox treats storages of these types as shared by all nodes.
push @PVE::Storage::Plugin::SHARED_STORAGE, 'cinderlib'
    if !grep { $_ eq 'cinderlib' } @PVE::Storage::Plugin::SHARED_STORAGE;

# --- the storage type ----------------------------------------------------------------------------

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
        'sensitive-properties' => { password => 1 },
    };
}

sub properties {
    return {
        backend => {
            description => 'Name of the backend in the configuration of the cinderlib service.',
            type        => 'string',
            pattern     => '[A-Za-z0-9_][A-Za-z0-9_.-]*',
        },
        'cinderlib-driver' => {
            description => 'Driver of the array: the backend is then configured here, not in the configuration'
                . ' of the service. A name as in `cinderlib driver list`, or a class of Cinder.',
            type    => 'string',
            pattern => '[A-Za-z_][A-Za-z0-9_.]*',
        },
        'cinderlib-options' => {
            description => 'Options of the driver, without secrets: san_ip=192.0.2.10,san_login=proxmox',
            type        => 'string',
            pattern     => '[a-z0-9_]+=[^\r\n]*',
        },
        'cinderlib-secret' => {
            description => 'Option of the driver that gets the password. Default: san_password',
            type        => 'string',
            pattern     => '[a-z0-9_]+',
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
        backend             => { fixed    => 1, optional => 1 },
        'cinderlib-driver'  => { fixed    => 1, optional => 1 },
        'cinderlib-options' => { optional => 1 },
        'cinderlib-secret'  => { optional => 1 },
        'cinderlib-socket'  => { optional => 1 },
        pool                => { optional => 1 },
        password            => { optional => 1 },
        nodes               => { optional => 1 },
        shared              => { optional => 1 },
        disable             => { optional => 1 },
        content             => { optional => 1 },
        bwlimit             => { optional => 1 },
    };
}

# A storage with its own driver has a backend, by default with the name of the storage. Proxmox also
# calls this for each storage that it reads from its file.
sub check_config {
    my ($class, $storeid, $config, $create, @more) = @_;
    my $checked = $class->SUPER::check_config($storeid, $config, $create, @more);
    return $checked if !$create;
    die "Specify the backend of the service (backend), or the driver of the array (cinderlib-driver)\n"
        if !defined $checked->{backend} && !defined $checked->{'cinderlib-driver'};
    $checked->{backend} //= $storeid;
    return $checked;
}

sub on_add_hook {
    my ($class, $storeid, $scfg, %sensitive) = @_;
    my $undo = Cinderlib::Proxmox::Configuration::write($storeid, $scfg, %sensitive);
    return if $scfg->{disable};
    my $backend = Cinderlib::Backend->new($scfg);
    return _applied($backend, $undo, sub { $backend->about('') });
}

# Have the service read what was written. If it cannot be used, the previous files are restored.
sub _applied {
    my ($backend, $undo, $check) = @_;
    return if eval { $backend->reload if $undo; $check->(); 1 };
    my $error = $@;
    if ($undo) {
        $undo->();
        eval { $backend->reload; 1 } or warn $@;
    }
    die $error;
}

sub on_update_hook {
    my ($class, $storeid, $update, %sensitive) = @_;
    # Proxmox 8 passes only the options that change.
    my $before = eval { PVE::Storage::config()->{ids}{$storeid} } // {};
    return $class->on_update_hook_full($storeid, $before, $update, [], \%sensitive);
}

# Proxmox 9 passes the configuration before the update.
sub on_update_hook_full {
    my ($class, $storeid, $scfg, $update, $delete, $sensitive) = @_;
    my $new = { %$scfg, %$update };
    delete @$new{ @{ $delete // [] } };
    my $undo = Cinderlib::Proxmox::Configuration::write($storeid, $new, %{ $sensitive // {} });
    return _applied(Cinderlib::Backend->new($new), $undo, sub { });
}

sub on_delete_hook {
    my ($class, $storeid, $scfg) = @_;
    Cinderlib::Proxmox::Configuration::remove($storeid);
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

# --- volumes -------------------------------------------------------------------------------------

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
    $name //= Cinderlib::Proxmox::Names::free_name($backend, $vmid);
    $backend->create($name, $size * 1024, $UNDER_LOCK);
    return $name;
}

sub free_image {
    my ($class, $storeid, $scfg, $volname) = @_;
    my ($backend, $name) = (Cinderlib::Backend->new($scfg), $class->volume_name($volname));
    my $volume = $backend->find($name) or return;
    die "The disk '$volname' on storage '$storeid' is protected; remove the protection first\n"
        if $volume->{metadata}{protected};
    Cinderlib::Proxmox::Devices::remove_copy($backend, $_->{name}) for @{ $backend->volumes("$name\@") };
    $backend->detach($name);
    return $backend->delete($name, $UNDER_LOCK);
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
            ctime  => Cinderlib::Proxmox::Names::seconds($volume->{created_at}),
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

sub volume_size_info {
    my ($class, $scfg, $storeid, $volname, $timeout) = @_;
    my $volume = Cinderlib::Backend->new($scfg)->get($class->volume_name($volname), timeout => $timeout);
    my $size = $volume->{size} * GIB;
    return $size if !wantarray;
    my $parent = ($class->parse_volname($volname))[3];
    return ($size, 'raw', $size, $parent, Cinderlib::Proxmox::Names::seconds($volume->{created_at}));
}

sub volume_resize {
    my ($class, $scfg, $storeid, $volname, $size, $running, $snapname) = @_;
    die "A snapshot cannot be resized on storage '$storeid'\n" if defined $snapname;
    Cinderlib::Backend->new($scfg)->extend($class->volume_name($volname), $size);
    return 1;
}

sub rename_volume {
    my ($class, $scfg, $storeid, $source, $target_vmid, $target) = @_;
    my ($name, $base) = ($class->parse_volname($source))[1, 3];
    my $backend = Cinderlib::Backend->new($scfg);
    $target //= Cinderlib::Proxmox::Names::free_name($backend, $target_vmid);
    $backend->rename_unused($name, $target);
    return "$storeid:" . (defined $base ? "$base/$target" : $target);
}

sub get_volume_attribute {
    my ($class, $scfg, $storeid, $volname, $attribute) = @_;
    return if $attribute ne 'notes' && $attribute ne 'protected';
    my %found = _attributes(Cinderlib::Backend->new($scfg)->get($class->volume_name($volname)));
    return $attribute eq 'notes' ? $found{notes} // '' : $found{protected} // 0;
}

sub update_volume_attribute {
    my ($class, $scfg, $storeid, $volname, $attribute, $value) = @_;
    die "The attribute '$attribute' is not supported on storage '$storeid'\n"
        if $attribute ne 'notes' && $attribute ne 'protected';
    my $new = $attribute eq 'notes' && defined $value ? "$value" : $value ? 'true' : undef;
    Cinderlib::Backend->new($scfg)->set($class->volume_name($volname), $attribute, $new);
    return;
}

1;
