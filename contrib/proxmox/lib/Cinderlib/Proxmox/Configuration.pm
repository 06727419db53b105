package Cinderlib::Proxmox::Configuration;

# What the service needs of a storage: the password, and the backend if the storage has its own driver.
# Both are files of the cluster that only root can read. The configuration of the service includes the
# file with the backend, which refers to the file with the password.

use strict;
use warnings;

use Fcntl qw(O_CREAT O_TRUNC O_WRONLY);

# Of the cluster. Each has a folder for passwords and one for backends.
our $FOLDER = '/etc/pve/priv';

sub _file {
    my ($kind, $storeid) = @_;
    $storeid =~ /\A([A-Za-z][A-Za-z0-9_.-]*)\z/ or die "'$storeid' is not the name of a storage\n";
    return $kind eq 'password' ? "$FOLDER/storage/$1.pw" : "$FOLDER/cinderlib/$1.toml";
}

# Write the files of a storage. Returns a function that restores the previous ones; undef if there is
# nothing that the service has to read.
#
#   sensitive  a password; undef removes it
sub write {
    my ($storeid, $scfg, %sensitive) = @_;
    my ($password, $backend) = map { _file($_ => $storeid) } qw(password backend);
    my @before = map { [$_, _content($_)] } $password, $backend;
    my $undo = sub { _put(@$_) for reverse @before };
    my $written = eval {
        _put($password, $sensitive{password}) if exists $sensitive{password};
        _put($backend, _backend($storeid, $scfg)) if defined $scfg->{'cinderlib-driver'};
        1;
    };
    if (!$written) {
        my $error = $@;
        $undo->();
        die $error;
    }
    return exists $sensitive{password} || defined $scfg->{'cinderlib-driver'} ? $undo : undef;
}

# Remove the files of a storage.
sub remove {
    my ($storeid) = @_;
    _put(_file($_ => $storeid), undef) for qw(backend password);
    return;
}

# The table of a backend.
sub _backend {
    my ($storeid, $scfg) = @_;
    my %options = _options($scfg->{'cinderlib-options'} // '');
    my $secret = $scfg->{'cinderlib-secret'} // 'san_password';
    my $password = _file(password => $storeid);
    die "The option '$secret' gets the password; specify it with --password only\n" if exists $options{$secret};
    my @lines = ('[backends.' . _quoted($scfg->{backend}) . ']', 'volume_driver = ' . _quoted($scfg->{'cinderlib-driver'}));
    push @lines, map { "$_ = " . _quoted($options{$_}) } sort keys %options;
    push @lines, "$secret = { file = " . _quoted($password) . ' }' if -e $password;
    return join("\n", @lines);
}

# The options of a driver. A comma separates them if the name of another one follows.
sub _options {
    my ($text) = @_;
    my %options;
    for my $pair (grep { length } split /,(?=[a-z0-9_]+=)/, $text) {
        my ($name, $value) = $pair =~ /\A([a-z0-9_]+)=(.*)\z/s
            or die "cinderlib-options: '$pair' is not an option of a driver; expected NAME=VALUE\n";
        die "cinderlib-options: $name is specified twice\n" if exists $options{$name};
        $options{$name} = $value;
    }
    return %options;
}

# A text in TOML.
sub _quoted {
    my ($text) = @_;
    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/([\x00-\x1f\x7f])/sprintf('\\u%04X', ord $1)/ge;
    return "\"$text\"";
}

# The content of a file without its last line feed; undef if the file does not exist.
sub _content {
    my ($file) = @_;
    open my $handle, '<:raw', $file or return undef;
    local $/;
    my $text = <$handle> // '';
    $text =~ s/\n\z//;
    return $text;
}

# Write a file, or remove it.
sub _put {
    my ($file, $text) = @_;
    if (!defined $text) {
        unlink($file) || $!{ENOENT} || die "$file cannot be removed: $!\n";
        return;
    }
    ($text) = $text =~ /\A(.*)\z/s;    # Proxmox's daemons run in taint mode.
    my ($folder) = $file =~ m{\A(.*)/};
    mkdir $folder, 0700;
    my $new;
    # A reader gets the old file or the new one.
    sysopen($new, "$file.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0600)
        && defined syswrite($new, "$text\n")
        && close($new)
        && rename("$file.tmp", $file)
        or die "$file cannot be written: $!\n";
    return;
}

1;
