#!/usr/bin/perl -T

# One call of Proxmox on a node, for tests with nodes on several machines:
# node.pl STORAGE BACKEND CALL ARGUMENTS. Prints the result as JSON.

use strict;
use warnings;

use JSON;

use Proxmox;

my ($storeid, $backend, $call, @given) = map { Proxmox::untainted($_) } @ARGV;
die "usage: node.pl STORAGE BACKEND CALL ARGUMENTS\n" if !defined $call;
my ($node) = Proxmox->nodes(storeid => $storeid, backend => $backend);

my %calls = (
    status    => sub { [$node->here(sub { $_[0]->status($_[2], $_[1], {}) })] },
    blockers  => sub { my @names; eval { $node->call(volume_rollback_is_possible => @_, \@names) }; \@names },
    snapshots => sub { [sort keys %{ $node->call(volume_snapshot_info => @_) }] },
    map({ my $method = $_; ($method => sub { $node->$method(@_) }) }
        qw(alloc free names activate deactivate path rollback template clone reassign)),
    map({ my $method = $_; ($method => sub { $node->call($method => @_) }) }
        qw(volume_resize volume_snapshot volume_snapshot_delete volume_size_info)),
);
my $code = $calls{$call} // die "unknown call '$call'\n";
print JSON->new->allow_nonref->encode(scalar $code->(@given)), "\n";
