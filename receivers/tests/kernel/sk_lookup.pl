# Accepts one connection to port 81 with a socket that listens on port 8080. A BPF program chooses that socket.
use strict;
use warnings;
use POSIX;
use Socket;

# Commands, types and layouts: linux/bpf.h.
my $BPF = (POSIX::uname())[4] eq 'aarch64' ? 280 : 321;
sub bpf {
    my ($command, $attributes) = @_;
    $attributes .= "\0" x (128 - length $attributes);
    my $result = syscall($BPF, $command, $attributes, 128);
    die "bpf command $command: $!\n" if $result < 0;
    return $result;
}

socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
bind($listener, sockaddr_in(8080, INADDR_LOOPBACK)) or die "bind: $!\n";
listen($listener, 8) or die "listen: $!\n";

# A sockmap with one entry, which is the listener.
my $map = bpf(0, pack('L4', 15, 4, 8, 1));
my ($key, $value) = (pack('L', 0), pack('Q', fileno $listener));
bpf(2, pack('LxxxxPPQ', $map, $key, $value, 0));

# struct bpf_insn: code, registers (source, destination), offset, immediate.
my @program = (
    [0xbf, 0x16, 0, 0],      # r6 = r1
    [0x61, 0x12, 60, 0],     # r2 = context->local_port
    [0x55, 0x02, 14, 81],    # if r2 != 81 goto pass
    [0x18, 0x11, 0, $map],   # r1 = map
    [0, 0, 0, 0],
    [0x62, 0x0a, -4, 0],     # key = 0
    [0xbf, 0xa2, 0, 0],      # r2 = r10
    [0x07, 0x02, 0, -4],     # r2 += -4
    [0x85, 0, 0, 1],         # bpf_map_lookup_elem
    [0x15, 0x00, 7, 0],      # if r0 == 0 goto pass
    [0xbf, 0x07, 0, 0],      # r7 = r0
    [0xbf, 0x61, 0, 0],      # r1 = r6
    [0xbf, 0x72, 0, 0],      # r2 = r7
    [0xb7, 0x03, 0, 0],      # r3 = 0
    [0x85, 0, 0, 124],       # bpf_sk_assign
    [0xbf, 0x71, 0, 0],      # r1 = r7
    [0x85, 0, 0, 86],        # bpf_sk_release
    [0xb7, 0x00, 0, 1],      # pass: r0 = SK_PASS
    [0x95, 0, 0, 0],
);
my $instructions = join '', map { pack('CCsl', @$_) } @program;
my $license = "GPL\0";
# BPF_PROG_TYPE_SK_LOOKUP, attached as BPF_SK_LOOKUP. `expected_attach_type` is at byte 68.
my $load = pack('LLPP', 30, scalar @program, $instructions, $license);
$load .= "\0" x (68 - length $load);
my $program = bpf(5, $load . pack('L', 36));
open(my $namespace, '<', '/proc/self/ns/net') or die "namespace: $!\n";
my $link = bpf(28, pack('L4', $program, fileno $namespace, 36, 0));

$| = 1;
print "ready\n";
accept(my $connection, $listener) or die "accept: $!\n";
close($connection);
