# shellcheck shell=bash
# A PostgreSQL server of the tests' own: Debian's package, an unprivileged user, a temporary folder, a free port.
# Sourced after lib.sh. start_postgres sets POSTGRES_URL (of the administrator), stop_postgres ends the server.

postgres_bin=/usr/lib/postgresql/15/bin

# run_as_nobody COMMAND…: runs it as an unprivileged user, in a folder that this user may enter.
run_as_nobody() { (cd / && runuser -u nobody -- "$@"); }

# Settings are the defaults. Text sorts by a language, as on most servers: no query may depend on that order.
start_postgres() {
  postgres_folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-postgres.XXXXXX")
  chown nobody "$postgres_folder"
  local port
  port=$(free_port)
  run_as_nobody "$postgres_bin/initdb" --pgdata="$postgres_folder/data" --username=postgres \
    --auth=trust --encoding=UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US \
    >"$postgres_folder/initdb.log" 2>&1 || { cat "$postgres_folder/initdb.log" >&2; return 1; }
  run_as_nobody "$postgres_bin/pg_ctl" start --wait --silent --pgdata="$postgres_folder/data" \
    --log="$postgres_folder/log" \
    --options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$postgres_folder" ||
    { cat "$postgres_folder/log" >&2; return 1; }
  POSTGRES_URL="postgres://postgres@127.0.0.1:$port/postgres"
}

stop_postgres() {
  [[ -n ${postgres_folder:-} ]] || return 0
  run_as_nobody "$postgres_bin/pg_ctl" stop --mode=immediate --silent \
    --pgdata="$postgres_folder/data" || true
  rm -rf "$postgres_folder"
  postgres_folder=
}

# new_postgres_database: makes an empty database and prints its URL.
new_postgres_database() {
  local name
  name="test_$$_$RANDOM$RANDOM"
  psql --quiet "$POSTGRES_URL" --command="CREATE DATABASE $name" >&2
  echo "${POSTGRES_URL%/*}/$name"
}
