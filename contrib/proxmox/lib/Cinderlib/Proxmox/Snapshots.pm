package Cinderlib::Proxmox::Snapshots;

# Snapshots, templates and linked clones of disks.

use strict;
use warnings;

use Cinderlib::Backend;
use Cinderlib::Proxmox::Devices;
use Cinderlib::Proxmox::Names;

# Of a disk, its snapshot or a template: the operation of the backend that a feature needs, if any.
my $FEATURES = {
    snapshot => { current => 'snapshot.create', snap => 'snapshot.create' },
    clone    => { base    => 'volume.clone' },
    template => { current => '' },
    copy     => { base    => '', current => '', snap => 'volume.create_from_snapshot' },
    rename   => { current => '' },
};

sub volume_snapshot {
    my ($class, $scfg, $storeid, $volname, $snap) = @_;
    Cinderlib::Backend->new($scfg)->take_snapshot($class->volume_name($volname), $snap);
    return;
}

sub volume_snapshot_delete {
    my ($class, $scfg, $storeid, $volname, $snap, $running) = @_;
    my $backend = Cinderlib::Backend->new($scfg);
    Cinderlib::Proxmox::Devices::remove_copy($backend, $class->volume_name($volname, $snap));
    $backend->delete_snapshot($class->volume_name($volname), $snap);
    return;
}

sub volume_rollback_is_possible {
    my ($class, $scfg, $storeid, $volname, $snap, $blockers) = @_;
    my $name = $class->volume_name($volname);
    my @newer = Cinderlib::Backend->new($scfg)->revert_blockers($name, $snap) or return 1;
    push @{ $blockers // [] }, @newer;
    my $names = join(', ', map { "'$_'" } @newer);
    die "$name cannot be rolled back to '$snap', because the array may delete the newer snapshots"
        . " $names; delete them first\n";
}

sub volume_snapshot_rollback {
    my ($class, $scfg, $storeid, $volname, $snap) = @_;
    my ($backend, $name) = (Cinderlib::Backend->new($scfg), $class->volume_name($volname));
    $backend->release($name);
    $backend->revert($name, $snap);
    return;
}

sub volume_snapshot_info {
    my ($class, $scfg, $storeid, $volname) = @_;
    my $snapshots = Cinderlib::Backend->new($scfg)->snapshots($class->volume_name($volname));
    return {
        map { ($_->{name} => { id => $_->{id}, timestamp => Cinderlib::Proxmox::Names::seconds($_->{created_at}) }) }
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
    $backend->rename_unused($name, $new) if $backend->find($name) || !$backend->find($new);
    return defined $base ? "$base/$new" : $new;
}

sub clone_image {
    my ($class, $scfg, $storeid, $volname, $vmid, $snap) = @_;
    my ($name, $is_base) = ($class->parse_volname($volname))[1, 5];
    die "A linked clone needs a template; '$volname' is not one\n" if !$is_base || defined $snap;
    my $backend = Cinderlib::Backend->new($scfg);
    my $new = Cinderlib::Proxmox::Names::free_name($backend, $vmid);
    $backend->clone($name, $new, $PVE::Storage::Custom::CinderlibPlugin::UNDER_LOCK);
    return "$name/$new";
}

sub volume_has_feature {
    my ($class, $scfg, $feature, $storeid, $volname, $snapname) = @_;
    my $is_base = ($class->parse_volname($volname))[5];
    my $kind = defined $snapname ? 'snap' : $is_base ? 'base' : 'current';
    my $needed = $FEATURES->{$feature}{$kind};
    return undef if !defined $needed;
    return !length $needed || Cinderlib::Backend->new($scfg)->can_do($needed) ? 1 : undef;
}

1;
