# shellcheck shell=bash
# Shared by all scripts in this folder: paths, how steps are shown and logged, how processes are started, recognised
# and ended. Sourced, never run.

set -euo pipefail

DEV=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(dirname "$DEV")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/wallex
export DEV REPO CACHE

# WALLEX_IMAGE_PROFILE: how cargo builds the programs of the image and the tools here: `release`, `dev`, which builds
# faster and runs slower, or `dist`, which is what the Dockerfile uses and takes minutes longer for every change.
WALLEX_IMAGE_PROFILE=${WALLEX_IMAGE_PROFILE:-release}
case $WALLEX_IMAGE_PROFILE in
  release | dev | dist) export WALLEX_IMAGE_PROFILE ;;
  *)
    echo "error: WALLEX_IMAGE_PROFILE is $WALLEX_IMAGE_PROFILE: it must be release, dev or dist" >&2
    exit 1
    ;;
esac
# programs: the folder that cargo puts the programs into.
programs() {
  local folder=$WALLEX_IMAGE_PROFILE
  [ "$folder" != dev ] || folder=debug
  echo "${CARGO_TARGET_DIR:-$REPO/target}/$folder"
}

die() {
  echo "error: $*" >&2
  exit 1
}

need_root() { [ "$(id -u)" = 0 ] || die "$1 needs root: it creates namespaces, a network bridge and cgroups"; }

# Ctrl-C or SIGTERM: end what `quiet` runs, then exit through the script's own EXIT trap.
RUNNING=
interrupted() {
  trap - INT TERM
  if [ -n "$RUNNING" ]; then
    kill -s TERM -- "-$RUNNING" 2>/dev/null || true
    wait "$RUNNING" 2>/dev/null || true
  fi
  exit 130
}
trap interrupted INT TERM

# --- steps -------------------------------------------------------------------------------------------------------

last_line() { tail -n 1 "$1" | tr -d '\000-\037' | sed 's/^ *//'; }

# quiet NAME COMMAND…: runs the command with its output in $LOGS/NAME.log; prints the time it took, and if it fails, the
# last lines and the name of the log.
quiet() {
  local name=$1 log started=$SECONDS pid status=0 shown=0
  shift
  log=$LOGS/$name.log
  mkdir -p "$LOGS"
  # A command in the background can be waited for in slices, so that a long one shows signs of life. It gets its own
  # process group (set -m), so that an interrupt can end all of it.
  set -m
  "$@" >>"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  RUNNING=$pid
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    local elapsed=$((SECONDS - started))
    if [ -t 1 ] && [ "$elapsed" -gt "$shown" ]; then
      shown=$elapsed
      printf '\r\033[K      %s … %ds  %.60s' "$name" "$elapsed" "$(last_line "$log")"
    elif [ "$elapsed" -ge $((shown + 30)) ]; then
      shown=$elapsed
      printf '      %s … %ds  %.60s\n' "$name" "$elapsed" "$(last_line "$log")"
    fi
  done
  wait "$pid" || status=$?
  RUNNING=
  if [ -t 1 ]; then printf '\r\033[K'; fi
  if [ "$status" != 0 ]; then
    {
      echo "      $name failed after $((SECONDS - started)) s; the last lines of $log:"
      tail -n 25 "$log" | sed 's/^/      | /'
    } >&2
    return "$status"
  fi
  printf '      %s: %d s\n' "$name" "$((SECONDS - started))"
}

# attended COMMAND…: looks like running the command in the foreground, but this shell receives a signal at once and passes
# it on; otherwise a shell handles a signal only after the command has ended.
attended() {
  local status=0
  set -m
  "$@" </dev/null &
  RUNNING=$!
  set +m
  wait "$RUNNING" || status=$?
  RUNNING=
  return "$status"
}

# step N/M TITLE: the heading of a step.
step() { printf '[%s] %s\n' "$1" "$2"; }

# until_true SECONDS COMMAND…: repeats the command until it succeeds; fails when the time is up.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# --- processes ---------------------------------------------------------------------------------------------------
# A process is recorded in a file with its id and its start time: the id alone may have been reused since.

# Prints nothing for a process that is dead but not reaped yet.
start_time() { awk '{ sub(/.*\) /, ""); if ($1 != "Z") print $20 }' "/proc/$1/stat" 2>/dev/null || true; }

# spawn DIR NAME COMMAND…: starts the command in its own session, so that neither Ctrl-C nor the end of this shell
# reaches it. Log: DIR/log/NAME.log, id: DIR/pid/NAME.
spawn() {
  local dir=$1 name=$2
  shift 2
  mkdir -p "$dir/log" "$dir/pid"
  # Scripts hold their lock on descriptor 9; a server must not inherit it.
  setsid "$@" >>"$dir/log/$name.log" 2>&1 </dev/null 9>&- &
  echo "$! $(start_time $!)" >"$dir/pid/$name"
}

# alive DIR NAME
alive() {
  local pid started
  read -r pid started 2>/dev/null <"$1/pid/$2" || return 1
  [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

# end DIR NAME SIGNAL: ends the process, by force if it takes more than 20 seconds. Does nothing if it is not running.
end() {
  local pid
  if alive "$1" "$2"; then
    read -r pid _ <"$1/pid/$2"
    kill -s "$3" "$pid"
    until_true 20 not alive "$1" "$2" || kill -s KILL "$pid"
    until_true 5 not alive "$1" "$2" || die "process $pid ($2) does not end"
  fi
  rm -f "$1/pid/$2"
}

not() { ! "$@"; }

# --- network -----------------------------------------------------------------------------------------------------

# free_port PREFERRED: that port if nothing listens on it, on any address; otherwise a free one. Below 32768, where the
# kernel's range for outgoing connections begins: those could take a port between this check and the bind.
free_port() {
  local port=$1 busy
  busy=$(ss -Htln | awk '{ sub(/.*:/, "", $4); print $4 }')
  while grep -qx "$port" <<<"$busy"; do port=$((20000 + RANDOM % 12000)); done
  echo "$port"
}

random_port() { free_port $((20000 + RANDOM % 12000)); }

# secret: 32 random hexadecimal digits, which need no escaping in URLs.
secret() { openssl rand -hex 16; }
