# shellcheck shell=bash
# Google's libraries for Python, and checks that a Python program runs. Sourced after lib.sh.

python_tools=$tools/python-google-1
# Modules that are compiled would be left in the checkout.
export PYTHONDONTWRITEBYTECODE=1

python_build() {
  [[ ! -x $python_tools/bin/python ]] || return 0
  echo "installing Google's libraries for Python"
  HOME=$real_home python3 -m venv "$python_tools.new"
  HOME=$real_home "$python_tools.new/bin/python" -m pip install --quiet --disable-pip-version-check \
    google-cloud-artifact-registry==1.23.0 google-auth==2.62.2 requests \
    google-api-python-client==2.202.0 google-auth-httplib2 httplib2
  mv "$python_tools.new" "$python_tools"
  ln -sf python3 "$python_tools/bin/python"
}

# checks_of PYTHON PROGRAM ARGUMENT…: it prints its checks as `check` does; they count as the suite's own.
checks_of() {
  local status=0 failures
  "$@" 2>&1 | tee "$work/checks" || status=$?
  failures=$(grep -c '^FAILED  ' "$work/checks" || true)
  passed=$((passed + $(grep -c '^ok      ' "$work/checks" || true)))
  failed=$((failed + failures))
  # It ended before its last check.
  if [[ $status -ne 0 && $failures -eq 0 ]]; then
    failed=$((failed + 1))
    echo "FAILED  ${2##*/} ended with exit $status"
  fi
}
