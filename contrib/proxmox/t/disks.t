#!/usr/bin/perl -T

# The life of virtual disks, in the order in which Proxmox calls the storage type.

use strict;
use warnings;

use POSIX ();
use Scalar::Util qw(tainted);
use Test::More;

use Proxmox;

use constant GIB => 1024**3;

my ($node) = Proxmox->nodes;

sub refused {
    my ($code, $pattern, $what) = @_;
    my $done = eval { $code->(); 1 };
    my $error = $@;
    ok(!$done, "$what is refused");
    like($error, $pattern, "$what: the message");
    unlike($error, qr/ at \S+ line \d+|HASH|[0-9a-f]{8}-[0-9a-f]{4}-4/, "$what: the message is for people");
    return;
}

# A pipe from another process, as from pvesm on another node.
sub from_process {
    my ($code) = @_;
    my $process = open(my $stream, '-|') // die $!;
    return $stream if $process;
    eval { $code->(\*STDOUT); 1 } or warn $@;
    POSIX::_exit(0);
}

sub imported {
    my ($stream, $volname, %how) = @_;
    return $node->here(sub {
        $_[0]->volume_import(@_[1, 2], $stream, $volname, $how{format} // 'raw+size', undef, undef, 0, $how{rename});
    });
}

subtest 'the type' => sub {
    my $plugin = 'PVE::Storage::Custom::CinderlibPlugin';
    is($plugin->type, 'cinderlib', 'name');
    is($plugin->api, 15, 'the newest API that is known, without Proxmox');
    ok($plugin->plugindata->{content}[0]{$_}, $_) for qw(images rootdir);
    my %known = (%{ $plugin->properties }, map { $_ => 1 } qw(pool password nodes shared disable content bwlimit));
    ok($known{$_}, "the option $_ has a property") for keys %{ $plugin->options };
    ok(scalar(grep { $_ eq 'cinderlib' } @PVE::Storage::Plugin::SHARED_STORAGE), 'shared');
    {
        no warnings 'once';
        local *PVE::Storage::APIVER = sub { 11 };
        is($plugin->api, 11, 'the API of Proxmox 8');
    }
    $node->here(sub { $_[0]->on_add_hook($_[2], $_[1]) });
    refused(sub { $node->here(sub { $_[0]->on_add_hook($_[2], { %{ $_[1] }, backend => 'other' }) }) },
        qr/Backend 'other' is not configured.*files/, 'an unknown backend');
    refused(sub { $node->here(sub { $_[0]->status($_[2], { %{ $_[1] }, 'cinderlib-socket' => '/nowhere.sock' }) }) },
        qr/cannot be reached.*systemctl status/, 'a service that does not run');
};

sub content {
    my ($file) = @_;
    open my $handle, '<', $file or return undef;
    local $/;
    return scalar <$handle>;
}

subtest 'a password' => sub {
    local $Cinderlib::Proxmox::Configuration::FOLDER = "$Proxmox::locks/priv";
    mkdir "$Proxmox::locks/priv", 0700;
    my $file = "$Proxmox::locks/priv/storage/array1.pw";
    my $scfg = { %{ $node->{scfg} } };
    my $plugin = 'PVE::Storage::Custom::CinderlibPlugin';
    ok($plugin->plugindata->{'sensitive-properties'}{password}, 'is sensitive');
    $node->here(sub { $_[0]->on_add_hook($_[2], $_[1], password => 'secret') });
    is((stat $file)[2] & 0777, 0600, 'only root can read it');
    is(content($file), "secret\n", 'as it was given');
    is_deeply($node->{scfg}, $scfg, 'it is not in the configuration');
    $node->here(sub { $_[0]->on_update_hook_full($_[2], $_[1], { content => 'images' }, undef, undef) });
    ok(-e $file, 'an update of other options keeps it');
    $node->here(sub { $_[0]->on_update_hook($_[2], $_[1], password => 'new') });
    is(content($file), "new\n", 'an update replaces it');
    $node->here(sub { $_[0]->on_update_hook_full($_[2], $_[1], {}, ['password'], { password => undef }) });
    ok(!-e $file, 'and removes it');
    refused(sub { $node->here(sub { $_[0]->on_add_hook('array2', { %{ $_[1] }, backend => 'other' }, password => 'x') }) },
        qr/not configured/, 'a storage with an unknown backend');
    ok(!-e "$Proxmox::locks/priv/storage/array2.pw", 'it leaves no password');
    $node->here(sub { $_[0]->on_delete_hook($_[2], $_[1]) });
};

subtest 'the driver of a storage' => sub {
    my $plugin = 'PVE::Storage::Custom::CinderlibPlugin';
    refused(sub { $plugin->check_config('array3', {}, 1) }, qr/Specify the backend/, 'neither a backend nor a driver');
    my $read = { backend => 'array3', 'cinderlib-driver' => 'lvm' };
    is_deeply($plugin->check_config('array3', $read, 1), $read, 'a storage that is read from the file');
    is($plugin->check_config('array3', { 'cinderlib-driver' => 'lvm' }, 1)->{backend}, 'array3', 'its backend');
    is_deeply($plugin->check_config('array3', { pool => 'p' }, 0), { pool => 'p' }, 'an update has no backend');
    SKIP: {
        skip 'the driver is on another host', 1 if !defined $ENV{CINDERLIB_PRIV};
        local $Cinderlib::Proxmox::Configuration::FOLDER = Proxmox::untainted($ENV{CINDERLIB_PRIV});
        my $file = "$Cinderlib::Proxmox::Configuration::FOLDER/cinderlib/array3.toml";
        my $scfg = $plugin->check_config('array3', {
            'cinderlib-driver'  => 'proxmox.secret_files.SecretFiles',
            'cinderlib-options' => "file_root=$Proxmox::locks/of-array3",
            'cinderlib-socket'  => $node->{scfg}{'cinderlib-socket'},
        }, 1);
        refused(sub { $plugin->on_add_hook('array3', $scfg, password => 'wrong') }, qr/login was refused/, 'a wrong password');
        ok(!-e $file, 'it leaves no backend');
        $plugin->on_add_hook('array3', $scfg, password => 'right');
        unlike(content($file), qr/right/, 'the password is not in the file of the backend');
        is((stat $file)[2] & 0777, 0600, 'only root can read it');
        my ($here, $there) = map { bless { %$_, storeid => 'array3', scfg => { %$scfg, 'cinderlib-socket' => $_->{scfg}{'cinderlib-socket'} } }, ref }
            $node, (Proxmox->nodes)[1];
        my $disk = $here->alloc(150, 1024 * 1024);
        my $deadline = time + 30;
        sleep 1 until eval { $there->names(150)->[0] } || time > $deadline;
        is_deeply($there->names(150), ['vm-150-disk-0'], 'another node has the storage without a reload');
        refused(sub { $plugin->on_update_hook_full('array3', $scfg, { 'cinderlib-options' => 'nonsense' }, [], {}) },
            qr/'nonsense' is not an option.*NAME=VALUE/, 'options that are not pairs');
        refused(sub { $plugin->on_update_hook_full('array3', $scfg, { 'cinderlib-options' => 'san_password=x' }, [], {}) },
            qr/--password only/, 'a password among the options');
        refused(sub { $plugin->on_update_hook_full('array3', $scfg, {}, [], { password => 'wrong' }) },
            qr/login was refused/, 'a new password that is wrong');
        is(content("$Cinderlib::Proxmox::Configuration::FOLDER/storage/array3.pw"), "right\n", 'the previous one stays');
        $here->free($disk);
        $plugin->on_delete_hook('array3', $scfg);
        ok(!-e $file, 'a removed storage leaves no backend');
    }
};

subtest 'names' => sub {
    my $plugin = 'PVE::Storage::Custom::CinderlibPlugin';
    is_deeply([$plugin->parse_volname('vm-100-disk-0')],
        ['images', 'vm-100-disk-0', 100, undef, undef, undef, 'raw'], 'a disk');
    is_deeply([$plugin->parse_volname('base-100-disk-0')],
        ['images', 'base-100-disk-0', 100, undef, undef, 'base-', 'raw'], 'a template');
    is_deeply([$plugin->parse_volname('base-100-disk-0/vm-101-disk-3')],
        ['images', 'vm-101-disk-3', 101, 'base-100-disk-0', 100, undef, 'raw'], 'a linked clone');
    for my $bad ('', 'x', 'vm-100', '../vm-100-disk-0', "vm-100-disk-0\n", 'vm-100-a/b', 'vm-100-disk-0@s') {
        refused(sub { $plugin->parse_volname($bad) }, qr/is not the name of a disk/, "'$bad'");
    }
};

subtest 'status' => sub {
    my ($total, $free, $used, $active) = $node->here(sub { $_[0]->status($_[2], $_[1], {}) });
    cmp_ok($total, '>', GIB, 'total in bytes');
    cmp_ok($free, '<=', $total, 'free');
    is($used, $total - $free, 'used');
    is($active, 1, 'active');
};

subtest 'allocate, list, use, resize, free' => sub {
    my $disk = $node->alloc(100, 2 * 1024 * 1024);
    is($disk, 'array1:vm-100-disk-0', 'the first name');
    is($node->alloc(100, 1024 * 1024), 'array1:vm-100-disk-1', 'the next name');
    is($node->alloc(100, 4096, 'vm-100-cloudinit'), 'array1:vm-100-cloudinit', 'a chosen name');
    refused(sub { $node->alloc(100, 4096, 'vm-100-cloudinit') }, qr/already exists/, 'the same name again');
    refused(sub { $node->alloc(100, 4096, 'vm-200-disk-0') }, qr/does not belong to guest 100/, 'another guest');
    $node->free('array1:vm-100-disk-1');
    is($node->alloc(100, 528), 'array1:vm-100-disk-1', 'a free name is used again');
    is_deeply($node->names(100), [qw(vm-100-cloudinit vm-100-disk-0 vm-100-disk-1)], 'list of a guest');
    is_deeply($node->names(10), [], 'list of a guest without disks');
    my ($listed) = grep { $_->{volid} eq $disk } @{ $node->list };
    is($listed->{size}, 2 * GIB, 'the size in bytes');
    is($listed->{vmid}, 100, 'the guest');
    cmp_ok(abs(time - $listed->{ctime}), '<', 600, 'the time');
    is(scalar $node->call(volume_size_info => 'array1:vm-100-disk-1', 5), GIB, 'a small disk has 1 GiB');

    my $path = $node->path($disk);
    ok(!-e $path, 'a disk that is not in use has no device');
    # Proxmox starts programs with them in taint mode.
    ok(!tainted($_), "$_ is not tainted") for $path, $disk, $node->here(sub {
        $_[0]->map_volume(@_[2, 1], 'vm-100-disk-0' . substr($ENV{PATH}, 0, 0));
    }), map { @$_{qw(volid name)} } @{ $node->list(100) };
    $node->activate($disk);
    ok(-b $path, 'the path is a block device');
    is($node->path($disk), $path, 'and the same as before');
    $node->activate($disk);
    $node->write_at($disk, 0, 'the guest wrote this');
    is($node->read_at($disk, 0, 20), 'the guest wrote this', 'what was written');
    refused(sub { $node->call(volume_resize => $disk, GIB, 1) }, qr/vm-100-disk-0 has 2 GiB/, 'a smaller size');
    $node->call(volume_resize => $disk, 3 * GIB + 1024, 1);
    my ($size, $format) = $node->call(volume_size_info => $disk);
    is_deeply([$size, $format], [4 * GIB, 'raw'], 'whole GiB, not less than requested');
    open my $device, '<:raw', $path or die $!;
    is(sysseek($device, 0, 2), 4 * GIB, 'the device has the new size while it is in use');
    close $device;
    $node->deactivate($disk);
    ok(!-e $path && !-l $path, 'no device and no link after the guest stopped');
    $node->deactivate($disk);
    $node->activate($disk);
    is($node->read_at($disk, 0, 20), 'the guest wrote this', 'the next start finds the data');
    $node->free($disk);
    ok(!-l $path, 'a free of an active disk removes its device');
    $node->free($disk);
    $node->free("array1:$_") for @{ $node->names(100) };
    is_deeply($node->names(100), [], 'nothing is left');
};

subtest 'snapshots' => sub {
    my $disk = $node->alloc(101, 1024 * 1024);
    $node->activate($disk);
    for my $name (qw(first second third)) {
        $node->write_at($disk, 0, "$name.....");
        $node->call(volume_snapshot => $disk, $name);
    }
    refused(sub { $node->call(volume_snapshot => $disk, 'first') }, qr/already exists/, 'the same snapshot again');
    my $info = $node->call(volume_snapshot_info => $disk);
    is_deeply([sort keys %$info], [qw(first second third)], 'the snapshots');
    ok($info->{first}{id} && $info->{first}{timestamp}, 'with ID and time');
    $node->activate($disk, 'first');
    is($node->read_at($disk, 0, 5, 'first'), 'first', 'the data of a snapshot can be read');
    is_deeply($node->names(101), ['vm-101-disk-0'], 'its copy is not listed');
    $node->deactivate($disk, 'first');
    $node->activate($disk, 'first');
    $node->call(volume_snapshot_delete => $disk, 'first', 1);
    ok(!-l $node->path($disk, 'first'), 'a deleted snapshot leaves no device');
    $node->call(volume_snapshot_delete => $disk, 'first', 1);
    refused(sub { $node->rollback($disk, 'first') }, qr/'vm-101-disk-0' has no snapshot 'first'/, 'a rollback to it');
    $node->write_at($disk, 0, 'lost.....');
    $node->rollback($disk, 'third');
    $node->activate($disk);
    is($node->read_at($disk, 0, 5), 'third', 'rolled back');
    $node->free($disk);
    is_deeply($node->names(101), [], 'a free deletes the snapshots too');
};

subtest 'templates and linked clones' => sub {
    my $disk = $node->alloc(110, 1024 * 1024);
    $node->activate($disk);
    $node->write_at($disk, 4096, 'template');
    my $template = $node->template($disk);
    is($template, 'array1:base-110-disk-0', 'its name');
    refused(sub { $node->template($template) }, qr/is a template already/, 'a template of a template');
    my $clone = $node->clone($template, 111);
    is($clone, 'array1:base-110-disk-0/vm-111-disk-0', 'the name of a linked clone');
    is_deeply($node->names(111), ['base-110-disk-0/vm-111-disk-0'], 'in the list too');
    is($node->list(111)->[0]{parent}, 'base-110-disk-0', 'with its parent');
    $node->activate($clone);
    is($node->read_at($clone, 4096, 8), 'template', 'it has the data');
    refused(sub { $node->free($template) }, qr/in use by linked clones/, 'a free of the template');
    refused(sub { $node->clone($clone, 112) }, qr/needs a template/, 'a linked clone of a clone');
    my $moved = $node->reassign($clone, 112);
    is($moved, 'array1:base-110-disk-0/vm-112-disk-0', 'reassigned to another guest');
    $node->activate($moved);
    is($node->read_at($moved, 4096, 8), 'template', 'with its data');
    refused(sub { $node->reassign($moved, 110, 'base-110-disk-0') }, qr/already exists/, 'a name that is taken');
    my $second = $node->template($moved);
    is($second, 'array1:base-110-disk-0/base-112-disk-0', 'a template of a linked clone');
    $node->free($_) for $second, $template;
    is_deeply([map { @{ $node->names($_) } } 110 .. 112], [], 'nothing is left');
};

subtest 'features, notes and protection' => sub {
    my $disk = $node->alloc(120, 1024 * 1024);
    my %expected = (snapshot => [1, 1, undef], clone => [undef, undef, 1], template => [1, undef, undef],
        copy => [1, 1, 1], rename => [1, undef, undef], replicate => [undef, undef, undef]);
    for my $feature (sort keys %expected) {
        my @found = $node->here(sub {
            my ($plugin, $scfg, $storeid) = @_;
            return map { scalar $plugin->volume_has_feature($scfg, $feature, $storeid, @$_) }
                ['vm-120-disk-0'], ['vm-120-disk-0', 's'], ['base-120-disk-0'];
        });
        is_deeply(\@found, $expected{$feature}, "$feature of a disk, a snapshot, a template");
    }
    is($node->call(get_volume_attribute => $disk, 'notes'), '', 'no notes');
    my $notes = "of the accounting\n" . 'x' x 1000 . "\x{e4}";
    $node->call(update_volume_attribute => $disk, notes => $notes);
    is($node->call(get_volume_attribute => $disk, 'notes'), $notes, 'notes');
    $node->call(update_volume_attribute => $disk, protected => 1);
    is($node->call(get_volume_attribute => $disk, 'notes'), $notes, 'notes stay');
    is($node->list(120)->[0]{protected}, 1, 'protected in the list');
    refused(sub { $node->free($disk) }, qr/is protected/, 'a free of a protected disk');
    $node->call(update_volume_attribute => $disk, protected => 0);
    refused(sub { $node->call(update_volume_attribute => $disk, color => 1) }, qr/not supported/, 'another attribute');
    $node->free($disk);
};

subtest 'export and import' => sub {
    my $disk = $node->alloc(130, 1024 * 1024);
    $node->activate($disk);
    $node->write_at($disk, 1024 * 1024 * 1024 - 8, 'the end!');
    $node->call(volume_snapshot => $disk, 'before');
    $node->write_at($disk, 1024 * 1024 * 1024 - 8, 'changed!');
    my $stream = from_process(sub {
        my ($out) = @_;
        $node->here(sub { $_[0]->volume_export(@_[1, 2], $out, $node->volname($disk), 'raw+size', 'before') });
    });
    my $new = imported($stream, 'vm-131-disk-0');
    is($new, 'array1:vm-131-disk-0', 'the imported disk');
    close $stream;
    ok(!-l $node->path($disk, 'before'), 'the export of a snapshot leaves no device');
    $node->activate($new);
    is($node->read_at($new, 1024 * 1024 * 1024 - 8, 8), 'the end!', 'with the data of the snapshot');
    my $short = sub { from_process(sub { syswrite $_[0], pack('Q<', 1024) . 'short' }) };
    refused(sub { imported($short->(), 'vm-131-disk-0') }, qr/already exists/, 'an import of an existing disk');
    refused(sub { imported($short->(), 'vm-131-disk-0', rename => 1) }, qr/ended early/, 'an incomplete stream');
    is_deeply($node->names(131), ['vm-131-disk-0'], 'it leaves no disk');
    refused(sub { imported($short->(), 'vm-131-disk-1', format => 'qcow2+size') }, qr/use raw\+size/, 'another format');
    $node->free($_) for $disk, $new;
};

done_testing;
