# shellcheck shell=bash
# Google's libraries for Python, and checks that a Python program runs. Sourced after suite.sh.

python_tools=$tools/python-google-1
# Python would leave compiled modules in the checkout.
export PYTHONDONTWRITEBYTECODE=1

build_python_tools() {
  [[ ! -x $python_tools/bin/python ]] || return 0
  echo "installing Google's libraries for Python"
  HOME=$real_home python3 -m venv "$python_tools.new"
  HOME=$real_home "$python_tools.new/bin/python" -m pip install --quiet --disable-pip-version-check \
    google-cloud-artifact-registry==1.23.0 google-auth==2.62.2 requests \
    google-api-python-client==2.202.0 google-auth-httplib2 httplib2
  mv "$python_tools.new" "$python_tools"
  ln -sf python3 "$python_tools/bin/python"
}

# run_python_checks PYTHON PROGRAM ARGUMENT…: runs a program that prints its checks as `check` does, and that may import
# the modules beside this file. Its checks count as the suite's own.
run_python_checks() {
  local status=0 failures
  PYTHONPATH=$root/clients/lib "$@" 2>&1 | tee "$work/python-checks.log" || status=$?
  failures=$(grep -c '^FAILED  ' "$work/python-checks.log" || true)
  passed=$((passed + $(grep -c '^ok      ' "$work/python-checks.log" || true)))
  failed=$((failed + failures))
  # The program ended before its last check.
  if [[ $status -ne 0 && $failures -eq 0 ]]; then
    failed=$((failed + 1))
    echo "FAILED  ${2##*/} ended with exit $status"
  fi
}
