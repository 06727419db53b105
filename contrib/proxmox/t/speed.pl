#!/usr/bin/perl -T

# How long the calls take that Proxmox's web page waits for: speed.pl DISKS. Prints the milliseconds of
# 20 calls of each as JSON.

use strict;
use warnings;

use JSON;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use Proxmox;

use constant CALLS => 20;

my ($node) = Proxmox->nodes;
my ($disks) = map { Proxmox::untainted($_) } @ARGV;
die "usage: speed.pl DISKS\n" if !$disks;

my %found;

sub timed {
    my ($what, $code) = @_;
    $code->();
    my @times;
    for (1 .. CALLS) {
        my $began = clock_gettime(CLOCK_MONOTONIC);
        $code->();
        push @times, 1000 * (clock_gettime(CLOCK_MONOTONIC) - $began);
    }
    $found{$what} = \@times;
    return;
}

my $there = @{ $node->list };
for my $number ($there .. $disks - 1) {
    $node->here(sub { $_[0]->alloc_image($_[2], $_[1], 1000 + int($number / 4), 'raw',
        'vm-' . (1000 + int($number / 4)) . '-disk-' . $number % 4, 1024 * 1024) });
}
my $disk = 'array1:vm-1000-disk-0';
timed('list_images', sub { $node->list });
timed('list_images of a guest', sub { $node->list(1000) });
timed('status', sub { $node->here(sub { $_[0]->status($_[2], $_[1], {}) }) });
timed('volume_size_info', sub { $node->call(volume_size_info => $disk) });
timed('path', sub { $node->path($disk) });
$node->activate($disk);
timed('activate_volume of an attached disk', sub {
    $node->here(sub { $_[0]->activate_volume($_[2], $_[1], 'vm-1000-disk-0', undef, {}) });
});
timed('deactivate_volume and activate_volume', sub { $node->deactivate($disk); $node->activate($disk) });
$node->deactivate($disk);
timed('alloc_image and free_image', sub { $node->free($node->alloc(1, 1024 * 1024)) });
print encode_json(\%found), "\n";
