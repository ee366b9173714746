# shellcheck shell=bash
# Debian's Redis as a separate instance. Sourced after lib.sh.

# redis_start DIR ADDRESS PORT PASSWORD: in memory only; Wallex keeps nothing in it that it can't lose.
redis_start() {
  local dir=$1
  mkdir -p "$dir/redis"
  # In a file, so that the password does not show in the list of processes.
  (
    umask 077
    printf '%s\n' "bind $2" "port $3" "requirepass $4" "dir $dir/redis" 'save ""' 'appendonly no' 'daemonize no' \
      'maxmemory 128mb' 'maxmemory-policy allkeys-lru' >"$dir/redis/redis.conf"
  )
  spawn "$dir" redis redis-server "$dir/redis/redis.conf"
}

# redis_wait DIR ADDRESS PORT PASSWORD
redis_wait() {
  redis_answers() { [ "$(REDISCLI_AUTH=$3 redis-cli -h "$1" -p "$2" ping)" = PONG ]; }
  until_true 20 redis_answers "$2" "$3" "$4" || { tail -n 20 "$1/log/redis.log" >&2; die "Redis did not start; see $1/log/redis.log"; }
}

redis_stop() { end "$1" redis TERM; }
