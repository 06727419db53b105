#!/usr/bin/perl -T

# Several guests at the same time, as when a portal orders eight of them: clones, resizes and starts.

use strict;
use warnings;

use POSIX ();
use Test::More;

use Proxmox;

use constant { GIB => 1024**3, GUESTS => 8 };

my @nodes = Proxmox->nodes;

# Run code for each guest in a process, on the nodes in turn. Returns the numbers of those that failed.
sub for_each_guest {
    my ($code) = @_;
    my %processes;
    for my $guest (0 .. GUESTS - 1) {
        my $process = fork // die $!;
        if (!$process) {
            my $done = eval { $code->($nodes[$guest % @nodes], 500 + $guest); 1 };
            print STDERR $@ if !$done;
            POSIX::_exit($done ? 0 : 1);
        }
        $processes{$process} = $guest;
    }
    my @failed;
    while ((my $process = wait) > 0) {
        push @failed, $processes{$process} if $?;
    }
    return [sort @failed];
}

my $template = $nodes[0]->alloc(490, GIB / 1024);
$nodes[0]->activate($template);
$nodes[0]->write_at($template, 0, 'template');
$template = $nodes[0]->template($template);

is_deeply(for_each_guest(sub {
    my ($node, $vmid) = @_;
    my $clone = $node->clone($template, $vmid);
    $node->alloc($vmid, 4096, "vm-$vmid-cloudinit");
    $node->call(volume_resize => $clone, 2 * GIB, 0);
    $node->activate($_) for $clone, "array1:vm-$vmid-cloudinit";
    $node->write_at($clone, 4096, "guest $vmid");
    die "$vmid has no data of the template\n" if $node->read_at($clone, 0, 8) ne 'template';
    die "$vmid has the data of another guest\n" if $node->read_at($clone, 4096, 9) ne "guest $vmid";
}), [], 'each guest is cloned, resized and started');

is_deeply([map { scalar @{ $nodes[0]->names(500 + $_) } } 0 .. GUESTS - 1], [(2) x GUESTS], 'each has its disks');

is_deeply(for_each_guest(sub {
    my ($node, $vmid) = @_;
    my $clone = "array1:base-490-disk-0/vm-$vmid-disk-0";
    my $state = $node->alloc($vmid, 512 * 1024, "vm-$vmid-state-running");
    $node->activate($state);
    $node->call(volume_snapshot => $clone, 'running');
    $node->deactivate($_) for $state, $clone;
    $node->rollback($clone, 'running');
    $node->free($_) for $state, $clone, "array1:vm-$vmid-cloudinit";
}), [], 'a snapshot with RAM, a rollback and a removal of each');

$nodes[1]->free($template);
is_deeply([map { @{ $nodes[0]->names($_) } } 490, map { 500 + $_ } 0 .. GUESTS - 1], [], 'nothing is left');

done_testing;
