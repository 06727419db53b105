package Cinderlib::Stream;

# Copies data between a stream and a block device.

use strict;
use warnings;

use IO::Handle;

use constant CHUNK => 1 << 20;

# The kernel's request to write zeros to a range of a block device; arrays do that without data.
use constant BLKZEROOUT => 0x127F;

my $ZEROS = "\0" x CHUNK;

# Copy so many bytes of a device to a stream.
sub from_device {
    my ($device, $stream, $size) = @_;
    while ($size > 0) {
        my $data = read_exactly($device, $size < CHUNK ? $size : CHUNK);
        write_all($stream, $data);
        $size -= length $data;
    }
    return;
}

# Copy so many bytes of a stream to the start of a device, and flush it. Zeros are written as such,
# so that a thin volume stays thin.
sub to_device {
    my ($stream, $device, $size) = @_;
    my ($at, $zeros) = (0, 0);
    while ($at < $size) {
        my $data = read_exactly($stream, $size - $at < CHUNK ? $size - $at : CHUNK);
        my $is_zero = $data eq $ZEROS;
        if ($zeros && !$is_zero) {
            _zero($device, $at - $zeros, $zeros);
            $zeros = 0;
        }
        if ($is_zero) {
            $zeros += CHUNK;
        } else {
            sysseek($device, $at, 0) or die "The device cannot be written: $!\n";
            write_all($device, $data);
        }
        $at += length $data;
    }
    _zero($device, $at - $zeros, $zeros) if $zeros;
    $device->sync or die "The device cannot be written: $!\n";
    return;
}

sub _zero {
    my ($device, @range) = @_;
    # They are computed from lengths of data, which are tainted as the data is.
    my ($at, $count) = map { /\A([0-9]+)\z/ ? $1 : die } @range;
    return if ioctl($device, BLKZEROOUT, pack('QQ', $at, $count));
    # Not a block device.
    sysseek($device, $at, 0) or die "The device cannot be written: $!\n";
    for (my $done = 0; $done < $count; $done += CHUNK) {
        write_all($device, $ZEROS);
    }
    return;
}

# Read exactly so many bytes. A shorter stream is an incomplete one.
sub read_exactly {
    my ($handle, $count) = @_;
    my $data = '';
    while (length($data) < $count) {
        my $read = sysread($handle, $data, $count - length $data, length $data);
        next if !defined $read && $!{EINTR};
        die "The data cannot be read: $!\n" if !defined $read;
        die 'The data ended early: ' . ($count - length $data) . " bytes are missing\n" if !$read;
    }
    return $data;
}

sub write_all {
    my ($handle, $data) = @_;
    my $done = 0;
    while ($done < length $data) {
        my $written = syswrite($handle, $data, length($data) - $done, $done);
        next if !defined $written && $!{EINTR};
        die "The data cannot be written: $!\n" if !defined $written;
        $done += $written;
    }
    return;
}

1;
