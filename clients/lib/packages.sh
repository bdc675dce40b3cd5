# shellcheck shell=bash
# Debian's packages that the client suites and PostgreSQL's tests need. Sourced.

# The programs that are missing here, as the packages that have them.
missing_packages() {
  local pair
  # Debian's Python cannot make a folder of packages without another package.
  python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
  for pair in dockerd:docker.io docker:docker.io containerd:containerd runc:runc skopeo:skopeo jq:jq \
    python3:python3 openssl:openssl curl:curl psql:postgresql-client cc:build-essential go:golang-go \
    /usr/lib/postgresql/15/bin/initdb:postgresql-15; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
}

# Installs what is missing, which takes root on Debian.
ensure_packages() {
  local missing
  mapfile -t missing < <(missing_packages | sort -u)
  [[ ${#missing[@]} -gt 0 ]] || return 0
  echo "=== installing ${missing[*]}"
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    echo "these packages are missing, and only root on Debian can install them: ${missing[*]}" >&2
    return 1
  fi
  # RUNLEVEL: a daemon that a package would start is not ours to run.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get update -qq && apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
}
