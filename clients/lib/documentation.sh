# shellcheck shell=bash
# Commands that the documentation shows, run as they stand there. Sourced after lib.sh.

# commands_in FILE: "HEADING<tab>COMMAND" for each command in a block of shell, on one line however many it has.
commands_in() {
  awk '
    /^```/ { inside = !inside; shell = inside && $0 == "```sh"; next }
    !inside && /^#+ / { heading = $0; sub(/^#+ /, "", heading) }
    shell {
      command = command $0
      if (sub(/\\$/, "", command) || command ~ /\|$/) next
      print heading "\t" command
      command = ""
    }' "$root/$1"
}

# commands_of FILE HEADING [TEXT]: the commands below a heading, those with TEXT. There must be some.
commands_of() {
  commands_in "$1" | awk -F '\t' -v heading="$2" '$1 == heading' | cut -f 2- | grep -F -- "${3:-}" ||
    { echo "$1 has no such command: $2 ${3:-}" >&2; return 1; }
}

# The page that is run, and what its project is called here.
page=docs/authentication.md documented_project=team-one

# run_page HEADING [TEXT]: does what the page says there, with a name for what it has in capitals.
run_page() {
  local commands
  commands=$(commands_of "$page" "$@")
  echo "$commands" >>"$work/ran"
  commands=$(sed -e "s/\bHOST\b/$host/g" -e "s/\bOWN-ACCOUNT\b/${owner:-}/" -e "s/\bACCOUNT\b/${account:-}/" \
    -e "s/\bKEY-ID\b/${key_id:-}/" -e "s/\bMEMBER\b/${member:-}/" -e "s|\bROLE\b|${role:-}|" \
    -e "s/\bTOKEN\b/${token:-}/" -e "s/\bDIGEST\b/${digest:-}/" -e "s/\bteam-one\b/$documented_project/g" <<<"$commands")
  eval "$commands"
}
# All that the page shows was run by some check.
whole_page_ran() { diff <(commands_in "$page" | cut -f 2- | sort -u) <(sort -u "$work/ran"); }
