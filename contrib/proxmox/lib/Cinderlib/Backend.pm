package Cinderlib::Backend;

# A backend of the service: requests about its volumes, which are given by name.
#
# Errors are texts for people.

use strict;
use warnings;

use JSON;

use Cinderlib::Service;
use Cinderlib::Service::Error;

# Seconds that a volume may take to be in the store, after the patience for its creation.
use constant BEGIN_TRIES => 10;

# The backend of a storage in Proxmox's configuration.
sub new {
    my ($class, $scfg) = @_;
    my $self = {
        service => Cinderlib::Service->new($scfg->{'cinderlib-socket'}),
        name    => $scfg->{backend},
        pool    => $scfg->{pool},
    };
    return bless $self, $class;
}

# Send a request.
#
#   catch   types of errors for which undef is returned
#   volume  the name of the volume that the request is about, for messages
#   and those of Cinderlib::Service::request
sub request {
    my ($self, $method, $path, %given) = @_;
    my ($catch, $volume) = delete @given{qw(catch volume)};
    my $answer = eval { $self->{service}->request($method, $path, %given) };
    my $error = $@ or return $answer;
    return undef if Cinderlib::Service::Error::is($error, @{ $catch // [] });
    die $error if $given{id} && Cinderlib::Service::Error::is($error, 'Timeout');
    die _readable($error, $volume);
}

# The message with the volume's name, instead of its ID in the store.
sub _readable {
    my ($error, $volume) = @_;
    my $text = "$error";
    if (defined $volume && ref $error && defined(my $id = $error->{resource})) {
        $text =~ s/\b[Vv]olume \Q$id\E/$volume/g;
    }
    return $text;
}

# Send a request about a volume.
sub of {
    my ($self, $volume, $method, $verb, %given) = @_;
    my $path = '/v1/volumes/' . Cinderlib::Service::quoted($volume) . ($verb ? "/$verb" : '');
    my $query = { %{ $given{query} // {} }, backend => $self->{name} };
    return $self->request($method, $path, %given, query => $query, volume => $volume);
}

# Send a request about the backend itself.
sub about {
    my ($self, $verb, %given) = @_;
    my $path = '/v1/backends/' . Cinderlib::Service::quoted($self->{name});
    return $self->request('GET', $verb ? "$path/$verb" : $path, %given);
}

# Have the service read its configuration again, and with it the files that it refers to.
sub reload {
    my ($self) = @_;
    return $self->request('POST', '/v1/service/reload', body => {});
}

# Whether the backend can do an operation. A process asks once a minute.
my %capabilities;

sub can_do {
    my ($self, $operation) = @_;
    my $key = "$self->{service}{socket} $self->{name}";
    if (!$capabilities{$key} || time - $capabilities{$key}{at} > 60) {
        my $ways = { map { ($_->{operation} => $_->{way}) } @{ $self->about('capabilities') } };
        $capabilities{$key} = { at => time, ways => $ways };
    }
    return ($capabilities{$key}{ways}{$operation} // 'none') ne 'none';
}

# --- volumes -----------------------------------------------------------------------------------------

# The volumes whose names begin with a prefix.
sub volumes {
    my ($self, $prefix) = @_;
    my $query = { backend => $self->{name}, name_prefix => $prefix };
    return $self->request('GET', '/v1/volumes', query => $query);
}

# A volume; undef if it does not exist.
sub find {
    my ($self, $volume) = @_;
    return $self->of($volume, 'GET', '', catch => ['VolumeNotFound']);
}

sub get {
    my ($self, $volume, %given) = @_;
    return $self->of($volume, 'GET', '', %given);
}

# Create a volume with a name that no other volume has.
#
# If that takes longer than `patience` seconds, it returns, and the service continues. The volume is in
# the list already, and its first attach waits for the end.
sub create {
    my ($self, $volume, $bytes, $patience) = @_;
    my $body = {
        backend     => $self->{name},
        name        => $volume,
        unique_name => JSON::true,
        size_bytes  => int $bytes,
    };
    $body->{pool_name} = $self->{pool} if defined $self->{pool};
    return $self->_begun($volume, 'create', $patience, sub { $self->request('POST', '/v1/volumes', body => $body, @_) });
}

# Create a volume with the data of another one. It returns after `patience` seconds, like create.
sub clone {
    my ($self, $source, $volume, $patience) = @_;
    return $self->_begun($volume, 'clone', $patience, sub { $self->_copy({ source_volid => $source }, $source, $volume, @_) });
}

# Send a request that creates a volume. It may return when the volume is in the store, so that no other
# call uses its name. A driver that is not loaded yet has not come so far.
sub _begun {
    my ($self, $volume, $what, $patience, $send) = @_;
    my $id = $self->_patiently($what, $patience, $send) // return;
    for (1 .. BEGIN_TRIES) {
        return if $self->find($volume);
        return if eval { $self->{service}->await($id, 1); 1 };
        die _readable($@, $volume) if !Cinderlib::Service::Error::is($@, 'Timeout');
    }
    die "The array of backend '$self->{name}' does not answer. Check the list of the storage later:"
        . " $volume may have been created by then\n";
}

# Send a request. If it takes longer than `patience` seconds, return its ID.
sub _patiently {
    my ($self, $what, $patience, $send) = @_;
    my $id = join('-', $what, $$, time, int(rand(1 << 30)));
    return undef if eval { $send->(timeout => $patience, id => $id); 1 };
    die $@ if !Cinderlib::Service::Error::is($@, 'Timeout');
    return $id;
}

# Create a volume with the data of a snapshot, if it does not exist.
sub clone_snapshot {
    my ($self, $source, $snapshot, $volume) = @_;
    return $self->_copy({ snapshot_id => $snapshot }, $source, $volume, catch => ['AlreadyExists']);
}

sub _copy {
    my ($self, $from, $source, $volume, %given) = @_;
    my $query = { backend => $self->{name}, volume => $source };
    # Notes and protection are the source's own.
    my $body = { %$from, name => $volume, unique_name => JSON::true, metadata => {}, description => '' };
    return $self->request('POST', '/v1/volumes', query => $query, body => $body, %given);
}

sub rename {
    my ($self, $volume, $new) = @_;
    return $self->of($volume, 'PATCH', '', body => { name => $new, unique_name => JSON::true });
}

# Rename a volume that no node uses: the link to its device has its name.
sub rename_unused {
    my ($self, $volume, $new) = @_;
    $self->release($volume);
    return $self->rename($volume, $new);
}

# Set a key of the metadata, or remove it.
sub set {
    my ($self, $volume, $key, $value) = @_;
    return $self->of($volume, 'PATCH', '', body => { metadata_changes => { $key => $value } });
}

sub extend {
    my ($self, $volume, $bytes) = @_;
    return $self->of($volume, 'POST', 'extend', body => { size_bytes => int $bytes });
}

# Delete a volume and its snapshots.
#
# Returns undef, or a function that waits for the end, if it takes longer than `patience` seconds.
sub delete {
    my ($self, $volume, $patience) = @_;
    my %how = (query => { snapshots => 'true' });
    my $id = $self->_patiently('delete', $patience, sub { $self->of($volume, 'DELETE', '', %how, @_) });
    return if !defined $id;
    return sub {
        eval { $self->{service}->await($id); 1 } or die _readable($@, $volume);
    };
}

# --- devices -----------------------------------------------------------------------------------------

# Attach a volume to this node. A migration has it on two nodes for some time. It waits while another
# call uses the volume, for example until a slow array has created it.
sub attach {
    my ($self, $volume, $link) = @_;
    my $body = { migrating => JSON::true, link => $link };
    my $attached;
    until ($attached) {
        $attached = $self->of($volume, 'POST', 'attach', body => $body, catch => ['Busy']);
    }
    return $attached;
}

# Detach a volume from this node, if this node has it.
sub detach {
    my ($self, $volume) = @_;
    my $catch = ['NotLocal', 'VolumeNotFound'];
    return $self->of($volume, 'POST', 'detach', body => {}, catch => $catch);
}

# Detach a volume from this node. It is an error if another node has it.
sub release {
    my ($self, $volume) = @_;
    return $self->of($volume, 'POST', 'detach', body => {});
}

# --- snapshots ---------------------------------------------------------------------------------------

sub snapshots {
    my ($self, $volume) = @_;
    my $found = $self->find($volume) or return [];
    return $self->request('GET', '/v1/snapshots', query => { volume_id => $found->{id} });
}

sub take_snapshot {
    my ($self, $volume, $name) = @_;
    my %how = (query => { backend => $self->{name} }, volume => $volume);
    my $body = { volume_id => $volume, name => $name, unique_name => JSON::true };
    return $self->request('POST', '/v1/snapshots', %how, body => $body);
}

# Delete a snapshot, if it exists.
sub delete_snapshot {
    my ($self, $volume, $name) = @_;
    my %how = (query => { backend => $self->{name}, volume => $volume }, volume => $volume);
    return $self->request('DELETE', '/v1/snapshots/' . Cinderlib::Service::quoted($name), %how);
}

# The names of the newer snapshots that keep a volume from being reverted.
sub revert_blockers {
    my ($self, $volume, $name) = @_;
    my $found = $self->of($volume, 'GET', 'revert-blockers', query => { snapshot_id => $name });
    return map { $_->{name} } @{ $found->{snapshots} };
}

sub revert {
    my ($self, $volume, $name) = @_;
    return $self->of($volume, 'POST', 'revert', body => { snapshot_id => $name });
}

1;
