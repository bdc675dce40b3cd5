# shellcheck shell=bash disable=SC2034
# Debian's packages that tests and benchmarks need. Sourced by lib.sh.

# What the client suites and PostgreSQL's tests run, as PROGRAM:PACKAGE.
suite_programs=(
  dockerd:docker.io docker:docker.io containerd:containerd runc:runc skopeo:skopeo jq:jq python3:python3
  openssl:openssl curl:curl psql:postgresql-client cc:build-essential go:golang-go
  /usr/lib/postgresql/15/bin/initdb:postgresql-15
)

# What the suite of the web console runs besides.
browser_programs=(chromium:chromium chromedriver:chromium-driver)

# What the lints run.
lint_programs=(shellcheck:shellcheck)

# missing_packages PROGRAM:PACKAGE…: prints the packages whose program is missing here.
missing_packages() {
  local pair
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
  # Debian's Python cannot make a folder of packages without another package.
  [[ " $* " != *" python3:python3 "* ]] || python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

# ensure_packages PROGRAM:PACKAGE…: installs the packages whose program is missing, which takes root on Debian.
ensure_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@" | sort -u)
  [[ ${#missing[@]} -gt 0 ]] || return 0
  echo "=== installing ${missing[*]}"
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    echo "these packages are missing, and only root on Debian can install them: ${missing[*]}" >&2
    return 1
  fi
  # RUNLEVEL keeps a package from starting its daemon: the tests start daemons of their own.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get update -qq && apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
}
