# perl measure.pl PROGRAM [ARGUMENT ...]: runs it with its output thrown away and prints "SECONDS PEAK_KIB EXIT_CODE".
# Perl because every Debian has it and Node tells nothing of the memory of a child that has ended: this asks wait4(2).
use strict;
use warnings;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my %wait4 = (x86_64 => 61, aarch64 => 260);
chomp(my $machine = `uname -m`);
my $number = $wait4{$machine} or die "measure.pl: no wait4 number for $machine\n";

my $begin = clock_gettime(CLOCK_MONOTONIC);
my $pid = fork() // die "measure.pl: fork: $!\n";
if ($pid == 0) {
    open(STDOUT, '>', '/dev/null') or die;
    exec { $ARGV[0] } @ARGV or die "measure.pl: $ARGV[0]: $!\n";
}
my $status = pack('i', 0);
my $usage = "\0" x 256;
syscall($number, $pid, $status, 0, $usage) == $pid or die "measure.pl: wait4: $!\n";
my $end = clock_gettime(CLOCK_MONOTONIC);
# struct rusage: two timevals of two longs, then ru_maxrss in KiB.
my $peak = unpack('q', substr($usage, 32, 8));
printf "%.6f %d %d\n", $end - $begin, $peak, unpack('i', $status) >> 8;
