# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The network and the huge pages of one engine and its clients on one machine. Sourced, not run.
#
#   namespace NAME-engine                  namespace NAME-client
#   +-------------------------+            +---------------------------+
#   | giro-engine (DPDK)      |            | giro, giro-bench, ping    |
#   |   GIRO_PMD              |            |   kernel sockets          |
#   |   "engine", no address -+--- veth ---+- "client", 10.77.0.2/24   |
#   +-------------------------+            +---------------------------+
#
# The engine's end carries no kernel address, or the kernel would answer beside the engine. Both
# ends are kept out of the root namespace, so nothing here can clash with the host's own network.
#
# GIRO_PMD is the driver of the engine's end: net_af_packet (the default) or net_af_xdp.
#
# While any NAME is up, the kernel schedules threads one by one rather than by session
# (kernel.sched_autogroup_enabled): else the threads of engine, client and whoever started them are one
# group against each thread of the kernel's own that ends a durable write, and can keep it waiting for
# seconds.
#
# What a NAME holds is written under /run/giro/NAME: who owns it, and how many huge pages it added to
# the kernel's pool. A NAME made by a script that was killed is found by its dead owner and removed
# at the next start (network_sweep). All functions need root; they print errors and return non-zero.

# shellcheck disable=SC2034 # the addresses are for whoever sources this
NETWORK_STATE=/run/giro
NETWORK_ENGINE_ADDRESS=10.77.0.1
NETWORK_CLIENT_ADDRESS=10.77.0.2
NETWORK_PREFIX=24

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

network_require_root() {
	[[ $EUID -eq 0 ]] ||
		die "network namespaces and huge pages need root; run this again with sudo"
	if ! command -v ip >/dev/null || ! command -v ethtool >/dev/null; then
		die "iproute2 or ethtool is missing; run scripts/install-packages"
	fi
	mkdir -p "$NETWORK_STATE" /run/netns
}

# Runs a function with its arguments while no other giro script changes namespaces or huge pages.
network_locked() {
	local status=0
	exec {network_lock}>"$NETWORK_STATE/lock"
	flock "$network_lock"
	"$@" || status=$?
	exec {network_lock}>&-
	return $status
}

# Start time of a process in clock ticks: together with the id it names a process for ever. None of
# a process that is dead, though nobody has asked for its status yet.
process_start_time() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	stat=${stat##*) } # the command's name may hold spaces
	[[ $stat != Z* ]] || return 1
	awk '{ print $20 }' <<<"$stat"
}

# network_claim NAME OWNER_PID: OWNER_PID 0 means that the claim outlives every process.
network_claim() {
	local name=$1 pid=$2 started=0
	((pid == 0)) || started=$(process_start_time "$pid")
	mkdir -p "$NETWORK_STATE/$name"
	echo "$pid $started" >"$NETWORK_STATE/$name/owner"
}

network_owner_lives() {
	local pid started
	read -r pid started <"$NETWORK_STATE/$1/owner" || return 1
	((pid == 0)) || [[ $(process_start_time "$pid" || true) == "$started" ]]
}

# network_up NAME MTU: both namespaces and the veth pair. What exists of NAME is made anew.
network_up() {
	network_locked network_up_unlocked "$@"
}

network_up_unlocked() {
	local name=$1 mtu=$2
	local engine=$name-engine client=$name-client namespace

	network_delete_namespaces "$name"
	for namespace in "$engine" "$client"; do
		ip netns add "$namespace"
		# Router solicitations and neighbour probes would be noise in every test.
		ip netns exec "$namespace" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
		ip -n "$namespace" link set lo up
	done
	# One queue: net_af_xdp opens no more of a veth end, and the frames of any other would go to
	# the kernel.
	ip link add engine netns "$engine" numtxqueues 1 numrxqueues 1 type veth \
		peer name client netns "$client" numtxqueues 1 numrxqueues 1
	network_set_mtu "$name" "$mtu"
	# A kernel peer on veth leaves its checksums to a NIC that does not exist.
	ip netns exec "$engine" ethtool -K engine tx off rx off gro off gso off tso off >/dev/null
	ip netns exec "$client" ethtool -K client tx off rx off gro off gso off tso off >/dev/null
	ip -n "$client" address add "$NETWORK_CLIENT_ADDRESS/$NETWORK_PREFIX" dev client
	ip -n "$engine" link set engine up
	ip -n "$client" link set client up
	autogroup_off
}

network_set_mtu() {
	ip -n "$1-engine" link set engine mtu "$2"
	ip -n "$1-client" link set client mtu "$2"
}

# Ends every process that still runs in NAME's namespaces, then removes them.
network_delete_namespaces() {
	local namespace pids
	for namespace in "$1-engine" "$1-client"; do
		[[ -e /run/netns/$namespace ]] || continue
		pids=$(ip netns pids "$namespace" 2>/dev/null || true)
		# shellcheck disable=SC2086 # one word a process
		[[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
		ip netns delete "$namespace"
	done
}

# network_down NAME: gives everything back. Idempotent.
network_down() {
	network_locked network_down_unlocked "$@"
}

network_down_unlocked() {
	local name=$1
	network_delete_namespaces "$name"
	hugepages_give_back "$name"
	scratch_remove "/var/tmp/$name"
	rm -rf "/var/run/dpdk/$name" "/var/run/dpdk/$name"-* "${NETWORK_STATE:?}/$name"
	autogroup_restore
}

AUTOGROUP=/proc/sys/kernel/sched_autogroup_enabled

autogroup_off() {
	[[ -w $AUTOGROUP && $(<$AUTOGROUP) == 1 ]] || return 0
	touch "$NETWORK_STATE/autogroup" # first: a kill in between must not leave it off
	echo 0 >$AUTOGROUP || echo "autogroup stays on: expect slower replies" >&2
}

# Once no NAME is left.
autogroup_restore() {
	[[ -e $NETWORK_STATE/autogroup ]] || return 0
	[[ -z $(compgen -G "$NETWORK_STATE/giro-*/owner") ]] || return 0
	echo 1 >$AUTOGROUP
	rm -f "$NETWORK_STATE/autogroup"
}

# Removes whatever belonged to scripts that are dead. Called at the start of each script.
network_sweep() {
	network_locked network_sweep_unlocked
}

network_sweep_unlocked() {
	local owner name
	for owner in "$NETWORK_STATE"/giro-*/owner; do
		[[ -e $owner ]] || continue
		name=$(basename "$(dirname "$owner")")
		network_owner_lives "$name" && continue
		echo "removing what an earlier run left behind: $name" >&2
		network_down_unlocked "$name"
	done
}

# Unmounts and detaches what a test mounted below its scratch folder, then removes the folder.
scratch_remove() {
	local scratch=$1 device
	[[ -d $scratch ]] || return 0
	awk -v below="$scratch/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r |
		while read -r mount; do umount -l "$mount"; done
	for device in $(losetup --noheadings --output NAME,BACK-FILE |
		awk -v below="$scratch/" 'index($2, below) == 1 { print $1 }'); do
		losetup -d "$device"
	done
	rm -rf "$scratch"
}

# hugepages_reserve NAME MIB: makes the kernel's pool larger by MIB, on top of what others hold.
hugepages_reserve() {
	network_locked hugepages_reserve_unlocked "$@"
}

hugepages_reserve_unlocked() {
	local name=$1 mib=$2 page_kib pages before after
	page_kib=$(awk '/^Hugepagesize:/ { print $2 }' /proc/meminfo)
	[[ -n $page_kib ]] || {
		echo "this kernel has no huge pages, which DPDK needs" >&2
		return 1
	}
	hugepages_give_back "$name"
	pages=$(((mib * 1024 + page_kib - 1) / page_kib))
	before=$(cat /proc/sys/vm/nr_hugepages)
	hugepages_set $((before + pages)) || return 1
	after=$(cat /proc/sys/vm/nr_hugepages)
	if ((after < before + pages)); then
		# Page cache in the way of whole pages is moved aside, once.
		echo 1 >/proc/sys/vm/compact_memory 2>/dev/null || true
		hugepages_set $((before + pages)) || return 1
		after=$(cat /proc/sys/vm/nr_hugepages)
	fi
	if ((after < before + pages)); then
		hugepages_set "$before"
		echo "the kernel gave only $((after - before)) of $pages huge pages of" \
			"$page_kib KiB; free some memory, or ask for fewer accounts" >&2
		return 1
	fi
	echo "$pages" >"$NETWORK_STATE/$name/hugepages"
}

hugepages_set() {
	if ! { echo "$1" >/proc/sys/vm/nr_hugepages; } 2>/dev/null; then
		echo "/proc/sys/vm/nr_hugepages cannot be written: reserve huge pages" \
			"on the host, or run this outside the container" >&2
		return 1
	fi
}

hugepages_give_back() {
	local claim=$NETWORK_STATE/$1/hugepages pages now
	[[ -e $claim ]] || return 0
	pages=$(cat "$claim")
	now=$(cat /proc/sys/vm/nr_hugepages)
	hugepages_set $((now > pages ? now - pages : 0)) || true
	rm -f "$claim"
}

# engine_eal_arguments NAME WORKERS MTU [PMD]: one argument a line; PMD prevails over GIRO_PMD. The
# main lcore (the log writer) and the workers are spread over the CPUs this process may use, and share
# them where there are too few.
engine_eal_arguments() {
	local name=$1 workers=$2 mtu=$3 pmd=${4:-${GIRO_PMD:-net_af_packet}} cpus cpu lcores worker
	mapfile -t cpus < <(network_cpus)
	# The writer shares its CPU with the last worker rather than with the first.
	lcores="0@${cpus[$((${#cpus[@]} - 1))]}"
	for ((worker = 1; worker <= workers; worker++)); do
		cpu=${cpus[$(((worker - 1) % ${#cpus[@]}))]}
		lcores+=",$worker@$cpu"
	done
	printf '%s\n' --lcores "$lcores" --iova-mode=va --in-memory --no-pci "--file-prefix=$name"
	if [[ $pmd == net_af_xdp ]]; then
		# Busy polling asks the kernel for frames at each empty look; a veth end delivers them
		# by itself.
		echo "--vdev=net_af_xdp0,iface=engine,busy_budget=0"
	else
		network_af_packet "$workers" "$mtu"
	fi
}

network_check_pmd() {
	[[ ${GIRO_PMD:-net_af_packet} == @(net_af_packet|net_af_xdp) ]] ||
		die "the driver of the engine's end is net_af_packet or net_af_xdp, not '$GIRO_PMD'"
}

network_af_packet() {
	local workers=$1 mtu=$2 frame=2048 block=65536 frames=2048
	# A frame of the packet ring holds its header (under 128 bytes) and the Ethernet frame; frames
	# fill blocks and blocks fill pages.
	if ((mtu > 1500)); then
		frame=9216
		block=36864
		frames=1024
	fi
	echo "--vdev=net_af_packet0,iface=engine,qpairs=$workers,blocksz=$block,framesz=$frame,framecnt=$frames"
}

# The CPUs of this process, one a line.
network_cpus() {
	awk '/^Cpus_allowed_list:/ { gsub(",", "\n", $2); print $2 }' /proc/self/status |
		while read -r range; do seq "${range%-*}" "${range#*-}"; done
}
