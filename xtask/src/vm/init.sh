#!/bin/busybox sh
# The guest's first process: mounts what Longwave needs, loads modules, runs /command, reports its exit code.
/bin/busybox mkdir -p /proc /sys /dev /root /etc /var /usr/bin
/bin/busybox --install -s /bin
# busybox' shell would run its own ip and tc instead of those on the PATH, but tests need the real ones.
ln -sf /usr/sbin/dash /bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
# The job's files may be in one of these folders, so nothing is mounted over an existing folder.
for folder in /tmp /run; do
    [ -d "$folder" ] || { mkdir "$folder" && mount -t tmpfs tmpfs "$folder"; }
done
chmod 1777 /tmp
ln -s /run /var/run
ln -s /proc/self/fd /dev/fd
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
ip link set lo up
while read -r module; do
    insmod "/lib/modules/$module.ko" || echo "init: module $module could not be loaded"
done </lib/modules/list
ulimit -n 65536
hostname longwave-vm
cd /tmp

# The command uses another serial line than the kernel, so that messages of the kernel do not interrupt its output.
exec 3>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
read -r uptime _ </proc/uptime
echo "LONGWAVE_VM_BOOTED=$uptime" >&3
/bin/sh /command </dev/null >&3 2>&3
code=$?
printf '\nLONGWAVE_VM_EXIT=%s\n' "$code" >&3
echo "LONGWAVE_VM_EXIT=$code"
exec 3>&-
poweroff -f
