# shellcheck shell=bash
# A PostgreSQL of the tests' own: Debian's package, an unprivileged user, a temporary folder, a free port.
# Sourced. postgres_start sets POSTGRES_URL (of its administrator); postgres_stop ends it.

postgres_bin=/usr/lib/postgresql/15/bin

# As the user nobody, in a folder that nobody may enter.
postgres_run() { (cd / && runuser -u nobody -- "$@"); }

# Settings are the defaults, and text sorts by a language, as on most servers: keys must not rely on it.
postgres_start() {
  postgres_folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-postgres.XXXXXX")
  chown nobody "$postgres_folder"
  local port
  port=$(free_port)
  postgres_run "$postgres_bin/initdb" --pgdata="$postgres_folder/data" --username=postgres \
    --auth=trust --encoding=UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US \
    >"$postgres_folder/initdb.log" 2>&1 || { cat "$postgres_folder/initdb.log" >&2; return 1; }
  postgres_run "$postgres_bin/pg_ctl" start --wait --silent --pgdata="$postgres_folder/data" \
    --log="$postgres_folder/log" \
    --options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$postgres_folder" ||
    { cat "$postgres_folder/log" >&2; return 1; }
  POSTGRES_URL="postgres://postgres@127.0.0.1:$port/postgres"
}

postgres_stop() {
  [[ -n ${postgres_folder:-} ]] || return 0
  postgres_run "$postgres_bin/pg_ctl" stop --mode=immediate --silent \
    --pgdata="$postgres_folder/data" || true
  rm -rf "$postgres_folder"
  postgres_folder=
}

# Makes an empty database and prints its URL.
postgres_database() {
  local name
  name="test_$$_$RANDOM$RANDOM"
  psql --quiet "$POSTGRES_URL" --command="CREATE DATABASE $name" >&2
  echo "${POSTGRES_URL%/*}/$name"
}
