#!/usr/bin/perl -T

# One action of Proxmox on the first node, for tests that interrupt it: act.pl ACTION.
#
# CINDERLIB_INTERRUPT="plugin N" kills this process when it has sent its Nth request that changes
# something; "service N PID SECONDS" kills the service so many seconds after that. Exit code 9: it was interrupted.

use strict;
use warnings;

use Fcntl qw(O_CREAT O_RDONLY O_TRUNC O_WRONLY);
use POSIX ();
use Time::HiRes qw(sleep);

use Proxmox;

my ($node) = Proxmox->nodes;
my ($who, $at, $pid, $after) = map { Proxmox::untainted($_) } split / /, $ENV{CINDERLIB_INTERRUPT} // 'nobody 0';
my $requests = 0;
my $interrupted = 0;

if ($who ne 'nobody') {
    no warnings 'redefine';
    my $send = \&Cinderlib::Service::_send;
    *Cinderlib::Service::_send = sub {
        $send->(@_);
        return if $_[2] =~ /\AGET / || ++$requests != $at;
        POSIX::_exit(9) if $who eq 'plugin';
        sleep $after;
        kill KILL => $pid;
        $interrupted = 1;
        return;
    };
}

my ($disk, $clone, $imported) = ('array1:vm-300-disk-0', 'array1:base-300-disk-0/vm-301-disk-0', 'array1:vm-303-disk-0');

# `pvesm export` to a file, and `pvesm import` from it.
my $file = "$Proxmox::locks/exported";

sub stream {
    my ($method, $volid, $mode) = @_;
    sysopen my $stream, $file, $mode, 0600 or die "$file: $!";
    $node->here(sub { $_[0]->$method($_[1], $_[2], $stream, $node->volname($volid), 'raw+size', undef, undef, 0) });
    return;
}

# The files with passwords of storages.
$Cinderlib::Proxmox::Configuration::FOLDER = "$Proxmox::locks/priv";
mkdir $Cinderlib::Proxmox::Configuration::FOLDER, 0700;

my %actions = (
    add        => sub { $node->here(sub { $_[0]->on_add_hook($_[2], $_[1], password => 'secret') }) },
    change     => sub { $node->here(sub { $_[0]->on_update_hook($_[2], $_[1], password => 'new') }) },
    remove     => sub { $node->here(sub { $_[0]->on_delete_hook($_[2], $_[1]) }) },
    alloc      => sub { $node->alloc(300, 1024 * 1024) },
    activate   => sub { $node->activate($disk) },
    # Proxmox removes a failed snapshot before it takes it again.
    snapshot   => sub { $node->call(volume_snapshot_delete => $disk, 's'); $node->call(volume_snapshot => $disk, 's') },
    read       => sub { $node->activate($disk, 's'); $node->read_at($disk, 0, 512, 's'); $node->deactivate($disk, 's') },
    rollback   => sub { $node->rollback($disk, 's') },
    forget     => sub { $node->call(volume_snapshot_delete => $disk, 's') },
    export     => sub { stream(volume_export => $disk, O_WRONLY | O_CREAT | O_TRUNC) },
    # A person removes the disk of an interrupted import.
    import     => sub { $node->free("array1:$_") for @{ $node->names(303) }; stream(volume_import => $imported, O_RDONLY) },
    resize     => sub { $node->call(volume_resize => $disk, 2 * 1024**3, 1) },
    notes      => sub { $node->call(update_volume_attribute => $disk, notes => 'of the test') },
    deactivate => sub { $node->deactivate($disk) },
    template   => sub { $node->template($disk) },
    clone      => sub { $node->clone('array1:base-300-disk-0', 301) },
    reassign   => sub { $node->reassign($clone, 302, 'vm-302-disk-0') if grep { m{/vm-301-disk-0$} } @{ $node->names(301) } },
    free       => sub { $node->free("array1:$_") for map { @{ $node->names($_) } } 303, 302, 301, 300 },
    names      => sub { print map { "$_\n" } @{ $node->names } },
    status     => sub { $node->here(sub { $_[0]->status($_[2], $_[1], {}) }) },
);

my $done = eval { ($actions{ $ARGV[0] } // die "unknown action\n")->(); 1 };
print STDERR $@ if !$done;
POSIX::_exit($interrupted ? 9 : $done ? 0 : 1) if $ARGV[0] ne 'names';
