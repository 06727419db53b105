#!/usr/bin/perl -T

# An array that needs longer for a call than Proxmox holds the lock of the cluster, or that does not
# answer.

use strict;
use warnings;

use POSIX ();
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use Proxmox;

my ($node) = Proxmox->nodes(backend => 'slow', storeid => 'slow');
my ($gate, $mute) = map { "$Proxmox::locks/$_" } qw(wait mute);
$PVE::Storage::Custom::CinderlibPlugin::UNDER_LOCK = 0.5;

sub closed {
    my ($file) = @_;
    open my $handle, '>', $file or die $!;
    close $handle;
    return;
}

# Code that runs while the array does not finish anything.
sub while_slow {
    my ($code) = @_;
    closed($gate);
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

# The capacity; undef if pvestatd does not get it. It never waits for longer than 2 s.
sub capacity {
    my $began = clock_gettime(CLOCK_MONOTONIC);
    my ($total) = eval { $node->here(sub { $_[0]->status($_[2], $_[1], {}) }) };
    my $seconds = clock_gettime(CLOCK_MONOTONIC) - $began;
    cmp_ok($seconds, '<', 2.5, 'pvestatd does not wait') if $seconds >= 2.5;
    return $total;
}

subtest 'an array that does not report its capacity' => sub {
    closed($mute);
    is(capacity(), undef, 'it is not known before the first report');
    like($@, qr/has not reported its capacity yet|did not answer in time/, 'with a message');
    unlink $mute or die $!;
    my $deadline = time + 60;
    my $total;
    until ($total = capacity() or time > $deadline) { }
    cmp_ok($total, '>', 0, 'then it is known');
    closed($mute);
    is(capacity(), $total, 'and stays known while the array does not answer');
    unlink $mute or die $!;
};

subtest 'a capacity that is old' => sub {
    no warnings 'redefine';
    my %known = (total_bytes => 3, free_bytes => 2, used_bytes => 1, stale => 1, age => 90, error => 'no route to host');
    local *Cinderlib::Backend::about = sub { \%known };
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    is(capacity(), 3, 'is shown') for 1 .. 3;
    is_deeply(\@warnings, ["storage 'slow': its capacity is 90 s old: no route to host\n"], 'with one warning in the log');
};

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
