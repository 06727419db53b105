package Cinderlib::Proxmox::Secrets;

# The password of a storage: a file of the cluster that only root can read. The service's configuration
# refers to it, so it is neither in the configuration of Proxmox nor in that of the service.

use strict;
use warnings;

use Fcntl qw(O_CREAT O_TRUNC O_WRONLY);

our $FOLDER = '/etc/pve/priv/storage';

sub _file {
    my ($storeid) = @_;
    $storeid =~ /\A([A-Za-z][A-Za-z0-9_.-]*)\z/ or die "'$storeid' is not the name of a storage\n";
    return "$FOLDER/$1.pw";
}

# Write the password of a storage, or remove it.
sub set {
    my ($storeid, $password) = @_;
    my $file = _file($storeid);
    if (!defined $password) {
        unlink($file) || $!{ENOENT} || die "$file cannot be removed: $!\n";
        return;
    }
    mkdir $FOLDER, 0700;
    my $new;
    # A reader gets the old file or the new one.
    sysopen($new, "$file.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0600)
        && defined syswrite($new, "$password\n")
        && close($new)
        && rename("$file.tmp", $file)
        or die "$file cannot be written: $!\n";
    return;
}

1;
