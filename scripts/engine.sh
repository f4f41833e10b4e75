# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Building giro, writing an engine's configuration and keeping an engine in the background. Sourced
# after network.sh, whose names it uses. GIRO_BUILD overrides the build folder.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${GIRO_BUILD:-$ROOT/build}
# Recovery replays the whole log before the engine is ready.
ENGINE_READY_S=${GIRO_READY_S:-300}
ENGINE_DRAIN_S=60

# The programs that scripts/run and scripts/lab use.
PROGRAMS=(engine/giro-engine replay/giro-replay client/giro client/giro-bench)

# build_giro FOLDER [MESON OPTION...] [-- TARGET...]: configures FOLDER if need be and brings it up to
# date. Silent when all is well.
build_giro() {
	local folder=$1 log status=0
	local -a options=()
	shift
	while (($# > 0)) && [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	log=$(mktemp)
	if [[ ! -e $folder/build.ninja ]]; then
		rm -rf "${folder:?}"
		meson setup "$folder" "$ROOT" "${options[@]}" >"$log" 2>&1 || status=$?
	elif ((${#options[@]} > 0)); then
		meson configure "$folder" "${options[@]}" >"$log" 2>&1 || status=$?
	fi
	((status != 0)) || ninja -C "$folder" "${@:2}" >"$log" 2>&1 || status=$?
	if ((status != 0)); then
		grep -E -A 12 '^FAILED:|ERROR:| error: ' "$log" >&2 || tail -n 40 "$log" >&2
	fi
	rm -f "$log"
	return $status
}

# Without Criterion the tests are left out of a new folder.
build_to_run() {
	local options=()
	if [[ ! -e $BUILD/build.ninja ]] && ! pkg-config --exists criterion; then
		options=(-Dtests=false)
	fi
	build_giro "$BUILD" "${options[@]}" -- "${PROGRAMS[@]}"
}

# engine_write_config FILE LOG SHARDS MTU [SECTION.KEY=VALUE...]: a configuration for the network of
# network.sh. Later settings replace the defaults given here.
engine_write_config() {
	local file=$1 setting section
	local -A value=()
	local keys=(port.address port.mtu engine.shards engine.idle shard.accounts
		shard.ids_per_second log.path)
	value=(
		[port.address]=$NETWORK_ENGINE_ADDRESS/$NETWORK_PREFIX
		[port.mtu]=$4
		[engine.shards]=$3
		[engine.idle]=sleep
		[shard.accounts]=100000
		[shard.ids_per_second]=50000
		[log.path]=$2
	)
	shift 4
	for setting in "$@"; do
		[[ -v value[${setting%%=*}] ]] || keys+=("${setting%%=*}")
		value[${setting%%=*}]=${setting#*=}
	done
	for section in port engine shard log; do
		echo "[$section]"
		for setting in "${keys[@]}"; do
			[[ ${setting%%.*} != "$section" ]] ||
				echo "${setting#*.}=${value[$setting]}"
		done
		echo
	done >"$file"
}

# engine_config_value FILE KEY DEFAULT
engine_config_value() {
	awk -F '[ \t]*=[ \t]*' -v key="$2" -v value="$3" \
		'$1 ~ "^[ \t]*" key "$" { value = $2 } END { print value }' "$1"
}

# engine_start NAME CONFIG FOLDER [EAL ARGUMENT...]: starts an engine in NAME's engine namespace and
# waits until it is ready. FOLDER gets engine.pid, engine.screen (stdout) and engine.log (stderr).
engine_start() {
	local name=$1 config=$2 folder=$3 shards mtu pid deadline
	local -a eal
	shift 3
	shards=$(engine_config_value "$config" shards 1)
	mtu=$(engine_config_value "$config" mtu 1500)
	mapfile -t eal < <(engine_eal_arguments "$name" "$shards" "$mtu")
	: >"$folder/engine.screen"
	setsid ip netns exec "$name-engine" "$BUILD/engine/giro-engine" --config "$config" \
		-- "${eal[@]}" "$@" </dev/null >"$folder/engine.screen" 2>"$folder/engine.log" &
	pid=$!
	disown "$pid"
	echo "$pid" >"$folder/engine.pid"
	deadline=$((SECONDS + ENGINE_READY_S))
	until grep -q '^ready' "$folder/engine.screen"; do
		if ! engine_lives "$folder"; then
			rm -f "$folder/engine.pid"
			tail -n 20 "$folder/engine.log" >&2
			echo "the engine ended before it was ready (above: the end of its log," \
				"$folder/engine.log)" >&2
			return 1
		fi
		if ((SECONDS >= deadline)); then
			echo "the engine was not ready within $ENGINE_READY_S s;" \
				"see $folder/engine.log" >&2
			return 1
		fi
		sleep 0.05
	done
}

# engine_lives FOLDER: whether the engine started there still runs.
engine_lives() {
	local pid state
	pid=$(cat "$1/engine.pid" 2>/dev/null) || return 1
	[[ $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) == *giro-engine* ]] || return 1
	state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) || return 1
	[[ $state != Z ]]
}

# engine_stop FOLDER: drains and seals; kills an engine that does not end in time.
engine_stop() {
	local folder=$1 pid deadline
	engine_lives "$folder" || {
		rm -f "$folder/engine.pid"
		return 0
	}
	pid=$(cat "$folder/engine.pid")
	kill -TERM "$pid"
	deadline=$((SECONDS + ENGINE_DRAIN_S))
	while engine_lives "$folder"; do
		if ((SECONDS >= deadline)); then
			kill -KILL "$pid"
			rm -f "$folder/engine.pid"
			echo "the engine did not drain within $ENGINE_DRAIN_S s and was killed;" \
				"see $folder/engine.log" >&2
			return 1
		fi
		sleep 0.05
	done
	rm -f "$folder/engine.pid"
}
