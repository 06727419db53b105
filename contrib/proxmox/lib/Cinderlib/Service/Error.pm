package Cinderlib::Service::Error;

# An error of the service: `type` is the class of the error in cinderlib, `message` is for people.

use strict;
use warnings;

use overload '""' => sub { $_[0]{message} . "\n" }, bool => sub { 1 }, fallback => 1;

sub throw {
    my ($class, %fields) = @_;
    die bless {%fields}, $class;
}

# Whether an exception is an error of the service with one of these types.
sub is {
    my ($error, @types) = @_;
    return 0 if !ref $error || !eval { $error->isa(__PACKAGE__) };
    my $type = $error->{type} // '';
    return scalar grep { $_ eq $type } @types;
}

1;
