package Proxmox;

# Plays the side of Proxmox VE: one node that calls the storage type as pvesm, qm, pct and pvestatd
# do. A storage of a node is a service with its own name of the host.

use strict;
use warnings;

use Fcntl qw(:flock);
use File::Temp qw(tempdir);
use JSON;

use PVE::Storage::Custom::CinderlibPlugin;

my $PLUGIN = 'PVE::Storage::Custom::CinderlibPlugin';

sub untainted {
    my ($text) = @_;
    $text =~ /\A(.*)\z/s;
    return $1;
}

# The folder of the locks that the cluster shares.
our $locks = untainted($ENV{CINDERLIB_LOCKS} // tempdir(CLEANUP => 1));

# The nodes of the cluster, from the environment: name => {socket, links}.
#
#   storeid  the name of the storage
#   and properties of the storage
sub nodes {
    my ($class, %options) = @_;
    my $given = decode_json($ENV{CINDERLIB_NODES} // die 'CINDERLIB_NODES is not set');
    my $storeid = delete $options{storeid} // 'array1';
    return map {
        my $node = $given->{$_};
        bless {
            name    => $_,
            storeid => $storeid,
            links   => untainted($node->{links}),
            scfg    => {
                type               => 'cinderlib',
                backend            => 'files',
                shared             => 1,
                content            => { images => 1, rootdir => 1 },
                'cinderlib-socket' => $node->{socket},
                %options,
            },
        }, $class;
    } sort keys %$given;
}

# Run code on a node: the folder of its links is the node's own.
sub here {
    my ($self, $code) = @_;
    local $Cinderlib::Proxmox::Names::LINKS = $self->{links};
    umask 0077;    # pvedaemon's
    return $code->($PLUGIN, $self->{scfg}, $self->{storeid});
}

# The same under the cluster's lock of the storage, which is waited for and held for 60 s.
sub locked {
    my ($self, $code) = @_;
    open my $lock, '>>', "$locks/lock-$self->{storeid}" or die $!;
    local $SIG{ALRM} = sub { die "got lock timeout\n" };
    alarm 60;
    flock $lock, LOCK_EX or die $!;
    my @result = eval { scalar $self->here($code) };
    my $error = $@;
    alarm 0;
    die $error if $error;
    return $result[0];
}

sub activate_storage {
    my ($self) = @_;
    return $self->here(sub {
        my ($plugin, $scfg, $storeid) = @_;
        $plugin->check_connection($storeid, $scfg) or die "connection check failed\n";
        return $plugin->activate_storage($storeid, $scfg, {});
    });
}

# `pvesm alloc`: gives the volume's ID.
sub alloc {
    my ($self, $vmid, $kib, $name) = @_;
    $self->activate_storage;
    my $volname = $self->locked(sub { $_[0]->alloc_image($_[2], $_[1], $vmid, 'raw', $name, $kib) });
    return "$self->{storeid}:$volname";
}

sub volname {
    my ($self, $volid) = @_;
    $volid =~ /\A\Q$self->{storeid}\E:(.+)\z/ or die "not a volume of this storage: $volid";
    return $1;
}

# `pvesm free`: refuses a template that has linked clones, and runs a task that is left.
sub free {
    my ($self, $volid) = @_;
    my $volname = $self->volname($volid);
    $self->activate_storage;
    my $task = $self->locked(sub {
        my ($plugin, $scfg, $storeid) = @_;
        my ($name, $is_base) = ($plugin->parse_volname($volname))[1, 5];
        if ($is_base) {
            for my $each (@{ $plugin->list_images($storeid, $scfg) }) {
                my $base = ($plugin->parse_volname($self->volname($each->{volid})))[3];
                die "base volume '$volname' is still in use by linked clones\n"
                    if defined $base && $base eq $name;
            }
        }
        return $plugin->free_image($storeid, $scfg, $volname, $is_base, 'raw');
    });
    $task->('UPID') if $task;
    return;
}

sub list {
    my ($self, $vmid) = @_;
    return $self->here(sub { $_[0]->list_images($_[2], $_[1], $vmid, undef, {}) });
}

sub names {
    my ($self, $vmid) = @_;
    return [sort map { $self->volname($_->{volid}) } @{ $self->list($vmid) }];
}

sub activate {
    my ($self, $volid, $snap) = @_;
    $self->activate_storage;
    return $self->here(sub { $_[0]->activate_volume($_[2], $_[1], $self->volname($volid), $snap, {}) });
}

sub deactivate {
    my ($self, $volid, $snap) = @_;
    return $self->here(sub { $_[0]->deactivate_volume($_[2], $_[1], $self->volname($volid), $snap, {}) });
}

sub path {
    my ($self, $volid, $snap) = @_;
    return $self->here(sub { ($_[0]->path($_[1], $self->volname($volid), $_[2], $snap))[0] });
}

# Any other method with ($scfg, $storeid, $volname, ...), as most of them have.
sub call {
    my ($self, $method, $volid, @arguments) = @_;
    return $self->here(sub { $_[0]->$method($_[1], $_[2], $self->volname($volid), @arguments) });
}

sub rollback {
    my ($self, $volid, $snap) = @_;
    $self->call('volume_rollback_is_possible', $volid, $snap);
    return $self->call('volume_snapshot_rollback', $volid, $snap);
}

sub template {
    my ($self, $volid) = @_;
    my $volname = $self->locked(sub { $_[0]->create_base($_[2], $_[1], $self->volname($volid)) });
    return "$self->{storeid}:$volname";
}

sub clone {
    my ($self, $volid, $vmid) = @_;
    my $volname = $self->locked(sub { $_[0]->clone_image($_[1], $_[2], $self->volname($volid), $vmid, undef) });
    return "$self->{storeid}:$volname";
}

sub reassign {
    my ($self, $volid, $vmid, $name) = @_;
    return $self->locked(sub { $_[0]->rename_volume($_[1], $_[2], $self->volname($volid), $vmid, $name) });
}

# Write and read as QEMU does, through the path.
sub write_at {
    my ($self, $volid, $offset, $data) = @_;
    open my $device, '+<:raw', $self->path($volid) or die $self->path($volid) . ": $!";
    sysseek $device, $offset, 0;
    defined syswrite $device, $data or die $!;
    $device->sync or die $!;
    close $device or die $!;
    return;
}

sub read_at {
    my ($self, $volid, $offset, $count, $snap) = @_;
    open my $device, '<:raw', $self->path($volid, $snap) or die $!;
    sysseek $device, $offset, 0;
    sysread($device, my $data, $count);
    return $data;
}

1;
