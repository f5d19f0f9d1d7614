#!/usr/bin/env bash
# A real Slurm on this one machine, for the tests: two nodes that claim GPUs they do not have.
#
#   cluster.sh up DIR     install what is missing, start everything, wait until jobs can be submitted
#   cluster.sh down DIR   cancel all jobs, stop what `up DIR` started, keep DIR/log
#   cluster.sh check      say whether `up` could work here
#
# Exit codes: 0 done, 1 failed, 3 not possible here. Made for root on Debian 12 (Slurm 22.05).
set -euo pipefail
umask 022
# Debian's Slurm, whatever environment the tests run in, and nothing of a cluster the caller uses.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset "${!SLURM@}" "${!SQUEUE_@}" "${!SINFO_@}" "${!SACCT@}" "${!MYSQL_@}" LD_LIBRARY_PATH

readonly MARK="# written by joulegrid's tests/slurm/cluster.sh"
readonly ETC=/etc/slurm # where even a job that lost its SLURM_* variables looks
readonly CONFIGS=("$ETC/slurm.conf" "$ETC/slurmdbd.conf" "$ETC/gres.conf" "$ETC/cgroup.conf")
readonly PORT=16817 # and 16818 to 16820; not Slurm's own, and below the ephemeral ones

die() {
    echo "cluster.sh: $1" >&2
    exit "${2:-1}"
}

# die_log NAME MESSAGE: the same, after the last words of NAME.
die_log() {
    printf -- '--- end of %s:\n%s\n---\n' "$LOG/$1.out" "$(tail -n 15 "$LOG/$1.out")" >&2
    die "$2"
}

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

missing_packages() {
    local package
    for package in slurm-wlm munge slurmdbd mariadb-server; do installed "$package" || echo "$package"; done
}

check() {
    local file
    ((EUID == 0)) || die "a private Slurm needs root." 3
    [[ -z $(missing_packages) ]] || command -v apt-get >/dev/null ||
        die "Slurm is not installed and there is no apt-get to install it." 3
    ! installed slurm-wlm-emulator || die "slurm-wlm-emulator replaces slurmctld by one without real nodes." 3
    for file in "${CONFIGS[@]}"; do
        [[ ! -e $file || $(head -n 1 "$file") == "$MARK" ]] || die "$file belongs to another Slurm; left alone." 3
    done
}

install_packages() (
    policy=/usr/sbin/policy-rc.d
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    # Without a policy, Debian starts its own munge, MariaDB and Slurm services while installing.
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        install -m 755 /dev/stdin "$policy" <<<$'#!/bin/sh\nexit 101'
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update &>"$LOG/apt.out" || die_log apt "apt-get update failed"
    apt-get -qy install --no-install-recommends "${missing[@]}" &>"$LOG/apt.out" </dev/null ||
        die_log apt "could not install ${missing[*]}"
)

# The variable proves that a pid from a pid file is still our daemon and not its successor.
running() { grep -qzxF "JOULEGRID_SLURM_DIR=$DIR" "/proc/$(cat "$RUN/pid/$1")/environ"; } 2>/dev/null

# start NAME COMMAND...: in a session of its own, with no descriptor of the caller's. Not as a daemon:
# so its pid is known at once, and what it says before it opens its log file is kept.
start() {
    JOULEGRID_SLURM_DIR=$DIR setsid "${@:2}" </dev/null &>"$LOG/$1.out" &
    echo $! >"$RUN/pid/$1"
    until running "$1" || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
}

stop() {
    local deadline=$((SECONDS + 15)) signal=TERM
    while running "$1"; do
        ((SECONDS < deadline)) || signal=KILL
        kill -"$signal" "$(cat "$RUN/pid/$1")" 2>/dev/null || true
        sleep 0.1
    done
}

# wait_for NAME WHAT COMMAND...: until COMMAND succeeds, for 180 s and while all daemons live; NAME's log tells why not.
wait_for() {
    local deadline=$((SECONDS + 180)) said name
    until said=$(timeout 30 "${@:3}" 2>&1); do
        for name in "$RUN"/pid/*; do
            name=${name##*/}
            running "$name" || die_log "$name" "$name ended while waiting for $2"
        done
        ((SECONDS < deadline)) || die_log "$1" "no $2 after 180 s: $said"
        sleep 0.1
    done
}

start_munge() {
    local as_munge=(setpriv --reuid munge --regid munge --init-groups)
    ! (munge -n | unmunge) &>/dev/null || return 0 # the machine has one: use it, never stop it
    [[ -e /etc/munge/munge.key ]] || "${as_munge[@]}" mungekey --create
    install -d -o munge -g munge /run/munge
    start munged "${as_munge[@]}" munged --foreground
    wait_for munged "credential from munge" munge -n
}

start_database() {
    local socket=$RUN/mysql.sock
    mariadb-install-db --no-defaults --user=root --datadir="$RUN/mysql" --skip-test-db \
        --auth-root-authentication-method=socket &>"$LOG/mariadb-install.out" ||
        die_log mariadb-install "could not create a MariaDB data directory"
    start mariadbd mariadbd --no-defaults --user=root --datadir="$RUN/mysql" --socket="$socket" \
        --skip-networking --innodb-flush-log-at-trx-commit=0
    wait_for mariadbd "answer from MariaDB" mariadb-admin --no-defaults --socket="$socket" ping
    # slurmdbd.conf has no key for a socket, but the client library has a variable.
    MYSQL_UNIX_PORT=$socket start slurmdbd slurmdbd -D
    wait_for slurmdbd "answer from slurmdbd" sacctmgr -n list cluster
    {
        sacctmgr -i add cluster joulegrid # slurmctld wants to find it
        sacctmgr -i add account test cluster=joulegrid description=test organization=test
        sacctmgr -i add user root account=test
        sacctmgr -i modify user root set defaultaccount=test
    } &>"$LOG/accounts.out" || die_log accounts "could not add the account"
}

start_slurm() {
    start slurmctld slurmctld -D
    start a30n slurmd -D -N a30n
    start a100n slurmd -D -N a100n
    wait_for slurmctld "two idle nodes" bash -c '
        sinfo -hN -o %N=%t | sort -u | xargs | tee /dev/stderr | grep -qx "a100n=idle a30n=idle"'
    wait_for slurmdbd "answer from sacct" sacct -n
}

write_configs() {
    local file ctld_listen="" listen=""
    # Slurm can be told to listen only where the host name points. When that is not where the
    # daemons meet, it has to listen everywhere, and munge turns strangers away.
    if [[ $(getent ahostsv4 "$(uname -n)") == "127.0.0.1 "* ]]; then
        listen=CommunicationParameters=NoInAddrAny ctld_listen=,NoCtldInAddrAny
    fi
    # Slurm sets CUDA_VISIBLE_DEVICES only for a GPU that is a character device; nothing ever opens these.
    for file in "$RUN"/dev/{a30,a100}-{0..3}; do ln -s /dev/null "$file"; done
    mkdir -p "$ETC"
    cat >"$ETC/slurm.conf" <<EOT
$MARK
# in $DIR
ClusterName=joulegrid
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$PORT
$listen$ctld_listen
SlurmUser=root
StateSaveLocation=$RUN/state
SlurmdSpoolDir=$RUN/spool/%n
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/%n.pid
SlurmctldLogFile=$LOG/slurmctld.log
SlurmdLogFile=$LOG/slurmd-%n.log
# A job that lost its node is held back until its credential has expired; 120 s by default.
AuthInfo=cred_expire=15
MailProg=/bin/true
MpiDefault=none
# Without cgroups, which a container may not give; see also cgroup.conf.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
Epilog=$RUN/epilog
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 1))
AccountingStorageTRES=gres/gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
# Every second of these is one that a test waits.
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000,bf_interval=1
# The longest that a job has to keep what it measured; one that ends earlier is not waited for.
KillWait=30
SlurmdTimeout=120
MinJobAge=300
# A node that a test sets down stays down until the test resumes it (2 would bring it back at once).
ReturnToService=1
# Believe this file, not the hardware, which the two nodes share and which may have fewer CPUs.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=DEFAULT CPUs=4 RealMemory=16000
NodeName=a30n NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((PORT + 2)) Gres=gpu:a30:4
NodeName=a100n NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((PORT + 3)) Gres=gpu:a100:4
PartitionName=DEFAULT MaxTime=1:00:00 DefMemPerCPU=1000 State=UP
PartitionName=a30 Nodes=a30n Default=YES
PartitionName=a100 Nodes=a100n
EOT
    # Without cgroups, Slurm loses sight of a process whose parent ended first; it would outlive its job.
    # A process is known by its environment, so the epilog has to get rid of its own.
    install -m 755 /dev/stdin "$RUN/epilog" <<'EOT'
#!/bin/bash
exec env -i bash -c 'grep -lszxF SLURM_CLUSTER_NAME=joulegrid /proc/[0-9]*/environ |
    xargs -r grep -lszxF "$0" | tr -dc "0-9\n" | xargs -r kill -KILL; exit 0' "${1:-SLURM_JOB_ID=$SLURM_JOB_ID}"
EOT
    cat >"$ETC/gres.conf" <<EOT
$MARK
NodeName=a30n Name=gpu Type=a30 File=$RUN/dev/a30-[0-3]
NodeName=a100n Name=gpu Type=a100 File=$RUN/dev/a100-[0-3]
EOT
    # Never used, and the one plugin that starts where there are no cgroups at all.
    printf '%s\n' "$MARK" CgroupPlugin=cgroup/v1 >"$ETC/cgroup.conf"
    install -m 600 /dev/stdin "$ETC/slurmdbd.conf" <<EOT
$MARK
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((PORT + 1))
$listen
SlurmUser=root
PidFile=$RUN/slurmdbd.pid
LogFile=$LOG/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
EOT
}

set_dir() {
    [[ ${1:-} =~ ^/[A-Za-z0-9._/+-]+$ ]] || die "DIR must be an absolute path without odd characters: '${1:-}'"
    DIR=$(realpath -m "$1") LOG=$DIR/log RUN=$DIR/run
    # The path of a unix socket ends at 107 characters, and slurmd appends some 35 to DIR.
    ((${#DIR} <= 70)) || die "DIR must not have more than 70 characters: $DIR"
}

configured_dir() { sed -n '2s/^# in //p' "$ETC/slurm.conf" 2>/dev/null || true; }

up() {
    down # what an earlier `up` of the same DIR left
    [[ ! -e $ETC/slurm.conf ]] || die "there is a cluster in $(configured_dir); take it down first"
    [[ ! -e $RUN ]] || die "$RUN exists and is no part of a cluster; remove it or choose another DIR"
    mkdir -p "$LOG"
    install_packages
    trap down EXIT # unless everything works
    trap 'exit 1' INT TERM HUP
    mkdir -p "$RUN"/{pid,state,spool/a30n,spool/a100n,dev}
    write_configs
    start_munge
    start_database
    start_slurm
    trap - EXIT
}

cancel_jobs() {
    local deadline=$((SECONDS + 20)) jobs
    while ((SECONDS < deadline)) && jobs=$(timeout 5 squeue -ho %A) && [[ -n $jobs ]]; do
        sort -u <<<"$jobs" | timeout 5 xargs scancel || true
        sleep 0.2
    done &>/dev/null
}

# A slurmstepd outlives its slurmd; its log file tells whose it is. And pid files can get lost.
kill_leftovers() {
    local pid
    "$RUN/epilog" SLURM_CLUSTER_NAME=joulegrid
    for pid in $(pgrep slurmstepd); do
        [[ -z $(find "/proc/$pid/fd" -lname "$LOG/slurmd-*") ]] || kill -KILL "$pid"
    done
    grep -lszxF "JOULEGRID_SLURM_DIR=$DIR" /proc/[0-9]*/environ | tr -dc '0-9\n' | xargs -r kill -KILL
} &>/dev/null

down() {
    [[ $(configured_dir) == "$DIR" ]] || return 0
    local name
    ! running slurmctld || cancel_jobs
    for name in a30n a100n slurmctld slurmdbd mariadbd munged; do stop "$name"; done
    kill_leftovers || true
    rm -rf "$RUN"
    rm -f "${CONFIGS[@]}"
}

case ${1:-} in
    check) check ;;
    up) check; set_dir "${2:-}"; up ;;
    down) set_dir "${2:-}"; down ;;
    *) die "usage: cluster.sh up DIR | down DIR | check" ;;
esac
