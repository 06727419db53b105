package Cinderlib::Service;

# Requests to the local service of cinderlib: HTTP and JSON over its UNIX socket.
#
# It uses only modules of Perl itself and JSON. One request has one connection: that costs a fraction
# of a millisecond, and processes share no state.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use JSON;
use Socket qw(AF_UNIX SOCK_STREAM pack_sockaddr_un);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use Cinderlib::Service::Error;

our $DEFAULT_SOCKET = '/run/cinderlib/cinderlib.sock';

# Seconds for a call that changes something; arrays copy data in some of them.
our $LONG = 3600;

my $json = JSON->new->utf8->canonical;

sub new {
    my ($class, $socket) = @_;
    # Proxmox's daemons run in taint mode, and the path comes from a file.
    ($socket // $DEFAULT_SOCKET) =~ m{\A(/[^\0]+)\z}
        or die "The socket of the service of cinderlib must be an absolute path\n";
    return bless { socket => $1 }, $class;
}

# Send a request and return the decoded answer.
#
#   query    parameters of the query; undefined ones are left out
#   body     fields of the body
#   timeout  seconds for the whole request
#   id       of the operation; await() returns its result after a timeout
#
# It dies with a Cinderlib::Service::Error.
sub request {
    my ($self, $method, $path, %given) = @_;
    my $target = $path . _query($given{query});
    my $body = $given{body} ? $json->encode($given{body}) : '';
    my $head = "$method $target HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n";
    $head .= "Operation-Id: $given{id}\r\n" if defined $given{id};
    my $deadline = clock_gettime(CLOCK_MONOTONIC) + ($given{timeout} // $LONG);
    my $socket = $self->_connect($deadline);
    $self->_send($socket, "$head\r\n$body", $deadline);
    return _decoded($self->_receive($socket, $deadline));
}

# The result of an operation whose request has timed out.
sub await {
    my ($self, $id, $timeout) = @_;
    return $self->request('GET', "/v1/operations/$id", query => { wait => 'true' }, timeout => $timeout);
}

# A text as one segment of a path.
sub quoted {
    my ($text) = @_;
    utf8::encode($text) if utf8::is_utf8($text);
    $text =~ s/([^A-Za-z0-9_.~-])/sprintf('%%%02X', ord $1)/ge;
    return $text;
}

sub _query {
    my ($query) = @_;
    my @pairs = map { "$_=" . quoted($query->{$_}) } grep { defined $query->{$_} } sort keys %{ $query // {} };
    return @pairs ? '?' . join('&', @pairs) : '';
}

sub _connect {
    my ($self, $deadline) = @_;
    socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or $self->_unreachable("$!");
    my $flags = fcntl($socket, F_GETFL, 0) or $self->_unreachable("$!");
    fcntl($socket, F_SETFL, $flags | O_NONBLOCK) or $self->_unreachable("$!");
    # A UNIX socket with a full queue refuses a connection instead of completing it later.
    until (connect($socket, pack_sockaddr_un($self->{socket}))) {
        $self->_unreachable("$!") if $! != EAGAIN && $! != EINTR;
        _left($deadline) > 0 or $self->_timeout;
        select(undef, undef, undef, 0.01);
    }
    return $socket;
}

sub _send {
    my ($self, $socket, $data, $deadline) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $data) {
        $self->_wait($socket, $deadline, 1);
        my $sent = syswrite($socket, $data);
        if (defined $sent) {
            substr($data, 0, $sent, '');
        } elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) {
            $self->_unreachable("$!");
        }
    }
    return;
}

sub _receive {
    my ($self, $socket, $deadline) = @_;
    my $answer = '';
    while (1) {
        $self->_wait($socket, $deadline, 0);
        my $count = sysread($socket, $answer, 1 << 18, length $answer);
        if (defined $count) {
            last if !$count;
        } elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) {
            $self->_unreachable("$!");
        }
    }
    $answer =~ s/\AHTTP\/1\.[01] (\d{3})[^\r\n]*\r\n(.*?)\r\n\r\n//s
        or $self->_unreachable('it ended during the request');
    my ($status, $head) = ($1, $2);
    # In taint mode, Proxmox cannot print what comes from a socket. The service is trusted as root.
    ($answer) = $answer =~ /\A(.*)\z/s;
    if ($head =~ /^transfer-encoding: *chunked/mi) {
        $answer = _joined($answer) // $self->_unreachable('it ended during the request');
    } elsif ($head =~ /^content-length: *([0-9]+)/mi && length($answer) != $1) {
        $self->_unreachable('it ended during the request');
    }
    return ($status, $answer);
}

# The body of a chunked answer; undef if its end is missing.
sub _joined {
    my ($chunks) = @_;
    my ($body, $at) = ('', 0);
    while ((my $end = index($chunks, "\r\n", $at)) >= 0) {
        my $size = hex(substr($chunks, $at, $end - $at));
        return $body if !$size;
        $body .= substr($chunks, $end + 2, $size);
        $at = $end + 2 + $size + 2;
    }
    return undef;
}

sub _wait {
    my ($self, $socket, $deadline, $to_write) = @_;
    my $bits = '';
    vec($bits, fileno($socket), 1) = 1;
    while (1) {
        my $left = _left($deadline);
        $self->_timeout if $left <= 0;
        my ($readable, $writable) = $to_write ? (undef, $bits) : ($bits, undef);
        my $ready = select($readable, $writable, undef, $left);
        return if $ready > 0;
        $self->_unreachable("$!") if $ready < 0 && $! != EINTR;
    }
}

sub _left {
    my ($deadline) = @_;
    return $deadline - clock_gettime(CLOCK_MONOTONIC);
}

sub _decoded {
    my ($status, $body) = @_;
    my $answer = eval { $json->decode($body) };
    if ($status != 200 || !defined $answer) {
        my $error = ref $answer eq 'HASH' ? $answer->{error} : undef;
        Cinderlib::Service::Error->throw(
            %{ $error // {} },
            message => $error ? join("\n", $error->{message}, @{ $error->{notes} // [] })
            : "The service of cinderlib sent an answer that is not valid (HTTP $status)",
        );
    }
    return $answer;
}

sub _unreachable {
    my ($self, $why) = @_;
    Cinderlib::Service::Error->throw(
        type    => 'ServiceUnavailable',
        message => "The service of cinderlib at $self->{socket} cannot be reached: $why. Check"
            . ' `systemctl status cinderlib.socket cinderlib`',
    );
}

sub _timeout {
    my ($self) = @_;
    Cinderlib::Service::Error->throw(
        type    => 'Timeout',
        message => "The service of cinderlib at $self->{socket} did not answer in time",
    );
}

1;
