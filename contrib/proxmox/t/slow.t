#!/usr/bin/perl -T

# An array that needs longer for a call than Proxmox holds the lock of the cluster.

use strict;
use warnings;

use POSIX ();
use Test::More;

use Proxmox;

my ($node) = Proxmox->nodes(backend => 'slow', storeid => 'slow');
my $gate = "$Proxmox::locks/wait";
$PVE::Storage::Custom::CinderlibPlugin::UNDER_LOCK = 0.5;

# Code that runs while the array does not finish anything.
sub while_slow {
    my ($code) = @_;
    open my $handle, '>', $gate or die $!;
    close $handle;
    my @result = eval { $code->() };
    my $error = $@;
    die $error if $error;
    return $result[0];
}

# Code in another process, after which the array becomes fast. Returns whether it succeeded.
sub meanwhile {
    my ($code) = @_;
    my $process = fork // die $!;
    if (!$process) {
        my $done = eval { $code->(); 1 };
        print STDERR $@ if !$done;
        POSIX::_exit($done ? 0 : 1);
    }
    select undef, undef, undef, 0.3;
    is(waitpid($process, POSIX::WNOHANG()), 0, 'it waits for the array');
    unlink $gate or die $!;
    waitpid $process, 0;
    return $? == 0;
}

sub within {
    my ($seconds, $code, $what) = @_;
    my $began = time;
    my $result = $code->();
    cmp_ok(time - $began, '<=', $seconds, "$what: the lock is released in time");
    return $result;
}

my $disk = while_slow(sub { within(10, sub { $node->alloc(400, 1024 * 1024) }, 'a new disk') });
is($disk, 'slow:vm-400-disk-0', 'a new disk has its name');
is_deeply($node->names(400), ['vm-400-disk-0'], 'and is in the list');
ok(meanwhile(sub { $node->activate($disk) }), 'the start of the guest waits for it');
ok(-b $node->path($disk), 'and has the device');
$node->write_at($disk, 0, 'template');
my $template = $node->template($disk);

my $clone = while_slow(sub { within(10, sub { $node->clone($template, 402) }, 'a linked clone') });
is($clone, 'slow:base-400-disk-0/vm-402-disk-0', 'a linked clone has its name');
ok(meanwhile(sub { $node->activate($clone) }), 'the start of its guest waits');
is($node->read_at($clone, 0, 8), 'template', 'and has the data');

my $task = while_slow(sub {
    within(10, sub { $node->locked(sub { $_[0]->free_image($_[2], $_[1], $node->volname($clone), undef, 'raw') }) },
        'a deletion');
});
is(ref $task, 'CODE', 'the rest of a deletion is a task');
ok(meanwhile(sub { $task->('UPID') }), 'which ends with it');
$node->free($template);
is_deeply([map { @{ $node->names($_) } } 400, 402], [], 'nothing is left');

done_testing;
