# shellcheck shell=bash
# Debian's PostgreSQL as a separate instance. Sourced after lib.sh.

# The unprivileged account: initdb and postgres refuse root.
postgres_account() { if [ "$(id -u)" = 0 ]; then echo postgres; else id -un; fi; }

postgres_programs() {
  local dir
  dir=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
  [ -n "$dir" ] || die "PostgreSQL's initdb is not installed: run dev/install"
  dirname "$dir"
}

# as_postgres DATA COMMAND…: runs the command as that account, with PGDATA set to the path of DATA. If the account has no access to
# the folder, for example below a closed home, DATA is bind-mounted in a private mount namespace that ends with the process.
as_postgres() {
  local data=$1 account
  shift
  account=$(postgres_account)
  if [ "$(id -u)" != 0 ]; then
    PGDATA=$data exec "$@"
  fi
  local drop=(setpriv --reuid "$account" --regid "$account" --init-groups --)
  if "${drop[@]}" test -x "$(dirname "$data")" && "${drop[@]}" test -x "$data"; then
    cd /
    PGDATA=$data exec "${drop[@]}" "$@"
  fi
  exec unshare --mount bash -euc '
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mkdir /mnt/data
    mount --bind "$1" /mnt/data
    cd /
    shift
    PGDATA=/mnt/data exec "$@"' bash "$data" "${drop[@]}" "$@"
}

# postgres_start DIR ADDRESS PORT PASSWORD METHOD [SETTING=VALUE…]: with a superuser `postgres` who logs in with that password
# by METHOD (scram-sha-256, or `password`, which makes thousands of logins by slow test builds cheap).
postgres_start() {
  local dir=$1 address=$2 port=$3 password=$4 method=$5 programs setting
  shift 5
  programs=$(postgres_programs)
  if [ ! -e "$dir/postgres/PG_VERSION" ]; then
    rm -rf "$dir/postgres"
    mkdir -m 700 "$dir/postgres"
    chown "$(postgres_account)" "$dir/postgres"
    # The account can't read our files, so the password comes through standard input and a pipe that the account creates.
    (as_postgres "$dir/postgres" bash -c 'read -r password; exec "$0" --pwfile=<(echo "$password") "$@"' "$programs/initdb" \
      --username=postgres --auth="$method" --encoding=UTF8 --locale=C.UTF-8 --no-instructions) \
      <<<"$password" >>"$dir/log/postgres.log" 2>&1 ||
      { tail -n 20 "$dir/log/postgres.log" >&2; die "initdb failed"; }
    # Any address: the server listens on only one, which only this machine and its pods can reach.
    printf 'host all all 0.0.0.0/0 %s\n' "$method" >"$dir/postgres/pg_hba.conf"
    {
      echo "unix_socket_directories = ''"
      echo "max_connections = 300"
      echo "shared_buffers = 256MB"
      echo "max_wal_size = 2GB"
      echo "timezone = 'UTC'"
      for setting; do echo "${setting%%=*} = '${setting#*=}'"; done
    } >>"$dir/postgres/postgresql.conf"
  fi
  # The lock file of a killed server names a process that counts as running until it has been reaped.
  if [ -e "$dir/postgres/postmaster.pid" ]; then
    until_true 20 not test -e "/proc/$(head -n 1 "$dir/postgres/postmaster.pid")" || true
  fi
  spawn "$dir" postgres bash -c '. "$1/lib.sh"; . "$1/servers/postgres.sh"; shift; as_postgres "$@"' bash "$DEV" \
    "$dir/postgres" "$programs/postgres" -c "listen_addresses=$address" -c "port=$port"
}

# postgres_wait DIR ADDRESS PORT
postgres_wait() {
  until_true 30 "$(postgres_programs)/pg_isready" -q -h "$2" -p "$3" ||
    { tail -n 20 "$1/log/postgres.log" >&2; die "PostgreSQL did not start; see $1/log/postgres.log"; }
}

# postgres_stop DIR [SIGNAL]: INT is the fast shutdown: sessions are cut, data stays intact. QUIT skips the last checkpoint, for
# data that is thrown away. Both release shared memory.
postgres_stop() { end "$1" postgres "${2:-INT}"; }
