#!/usr/bin/perl -T

# Two nodes with the same storage: migrations, a node that lost power, and a process in the place of
# QEMU that writes while disks are snapshotted, resized and moved.

use strict;
use warnings;

use Fcntl ();
use POSIX ();
use Test::More;

use Proxmox;

use constant { GIB => 1024**3, BLOCK => 4096, BLOCKS => 64 };

my ($first, $second) = Proxmox->nodes;

# A guest: a process that writes numbered blocks until its input ends, and then verifies them.
sub guest {
    my ($node, $volid) = @_;
    my $process = open(my $guest, '|-') // die $!;
    if (!$process) {
        open my $device, '+<:raw', $node->path($volid) or POSIX::_exit(1);
        fcntl STDIN, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK();
        my $number = 0;
        until (defined sysread STDIN, my $end, 1) {
            sysseek $device, ($number % BLOCKS) * BLOCK, 0;
            syswrite($device, pack('Q<', ++$number) x (BLOCK / 8)) == BLOCK or POSIX::_exit(2);
        }
        $device->sync or POSIX::_exit(3);
        for my $at (1 .. BLOCKS) {
            my $written = $number - ($number - $at) % BLOCKS;
            next if $written < 1;
            sysseek $device, (($written - 1) % BLOCKS) * BLOCK, 0;
            sysread $device, my $data, BLOCK;
            $data eq pack('Q<', $written) x (BLOCK / 8) or POSIX::_exit(4);
        }
        POSIX::_exit(0);
    }
    return $guest;
}

sub stopped {
    my ($guest, $what) = @_;
    ok(close $guest, "$what: the guest read what it wrote") or diag $?;
    return;
}

# A block of a snapshot or of a disk is never half of one and half of another.
sub whole_blocks {
    my ($node, $volid, $snap, $what) = @_;
    my $torn = 0;
    for my $at (0 .. BLOCKS - 1) {
        my %numbers = map { $_ => 1 } unpack 'Q<*', $node->read_at($volid, $at * BLOCK, BLOCK, $snap);
        $torn++ if keys %numbers != 1;
    }
    is($torn, 0, $what);
    return;
}

sub device {
    my ($node, $volid) = @_;
    return -e $node->path($volid) ? 'device' : 'none';
}

subtest 'the same disks and paths on each node' => sub {
    my $disk = $first->alloc(200, 1024 * 1024);
    is_deeply($second->names(200), $first->names(200), 'the list');
    (my $path = $first->path($disk)) =~ s/\A\Q$first->{links}\E//;
    is($second->path($disk), "$second->{links}$path", 'the path');
    is($second->alloc(200, 1024), 'array1:vm-200-disk-1', 'a node does not use a name of another one');
    $first->free($_) for $disk, 'array1:vm-200-disk-1';
};

subtest 'a live migration' => sub {
    my $disk = $first->alloc(201, 1024 * 1024);
    $first->activate($disk);
    my $guest = guest($first, $disk);
    $first->call(volume_snapshot => $disk, 'running');
    $first->call(volume_resize => $disk, 2 * GIB, 1);
    # The destination has the disk while the guest still writes on the source.
    $second->activate($disk);
    is(device($second, $disk), 'device', 'the destination has the device first');
    stopped($guest, 'on the source');
    $guest = guest($second, $disk);
    $first->deactivate($disk);
    is(device($first, $disk), 'none', 'the source has no device any more');
    is(device($second, $disk), 'device', 'the destination keeps it');
    $second->call(volume_resize => $disk, 3 * GIB, 1);
    stopped($guest, 'on the destination');
    is(-s $second->path($disk) // 0, 0, 'a block device');
    $second->activate($disk, 'running');
    whole_blocks($second, $disk, 'running', 'the snapshot of the running guest has whole blocks');
    $second->deactivate($disk, 'running');
    my $done = eval { $first->rollback($disk, 'running'); 1 };
    ok(!$done, 'a rollback on a node that does not run the guest is refused');
    like($@, qr/node2/, 'the message names the node that has the disk');
    $done = eval { $first->template($disk); 1 };
    ok(!$done, 'so is a conversion to a template');
    $done = eval { $first->free($disk); 1 };
    ok(!$done, 'and a removal');
    like($@, qr/vm-201-disk-0.*node2/, 'with a message');
    $second->deactivate($disk);
    $first->free($disk);
};

subtest 'a migration that fails' => sub {
    my $disk = $first->alloc(202, 1024 * 1024);
    $first->activate($disk);
    my $guest = guest($first, $disk);
    $second->activate($disk);
    $second->deactivate($disk);
    stopped($guest, 'on the source');
    is(device($first, $disk), 'device', 'the source keeps the device');
    is(device($second, $disk), 'none', 'the destination has none');
    $first->deactivate($disk);
    $first->free($disk);
};

subtest 'a node that is gone' => sub {
    my $disk = $first->alloc(203, 1024 * 1024);
    $first->activate($disk);
    $first->write_at($disk, 0, 'before the power failed');
    # The node deactivates no disk. The guest starts on another node, moves back and forth, and stops.
    $second->activate($disk);
    is($second->read_at($disk, 0, 6), 'before', 'the guest starts on another node');
    $second->activate($disk);
    $second->deactivate($disk);
    $second->activate($disk);
    is(device($second, $disk), 'device', 'and again');
    $second->deactivate($disk);
    $first->activate($disk);
    $first->deactivate($disk);
    is(device($first, $disk), 'none', 'the first node can use it again');
    $second->free($disk);
    is_deeply($first->names(203), [], 'nothing is left');
};

done_testing;
