# shellcheck shell=bash
# Commands that the documentation shows, run as they stand there. Sourced after suite.sh.

# commands_in FILE: prints "HEADING<tab>COMMAND" for each command in a block of shell. A command that is on several
# lines is printed on one.
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

# commands_of FILE HEADING [TEXT]: prints the commands below a heading that have TEXT. Fails where there are none.
commands_of() {
  commands_in "$1" | awk -F '\t' -v heading="$2" '$1 == heading' | cut -f 2- | grep -F -- "${3:-}" ||
    { echo "$1 has no command like this: $2 ${3:-}" >&2; return 1; }
}

# block_of FILE HEADING LANGUAGE: prints the blocks of the language below a heading. Fails where there are none.
block_of() {
  awk -v wanted="$2" -v fence="\`\`\`$3" '
    /^```/ { inside = !inside; show = inside && heading == wanted && $0 == fence; next }
    !inside && /^#+ / { heading = $0; sub(/^#+ /, "", heading) }
    show' "$root/$1" | grep . || { echo "$1 has no block of $3: $2" >&2; return 1; }
}

# The page that is run, and the name that its project has here.
page=docs/authentication.md documented_project=team-one

# run_page HEADING [TEXT]: runs the commands below a heading. Words in capitals are replaced: HOST by $registry_host,
# ACCOUNT by $account, and so on. $TOKEN is a variable, which the caller sets.
run_page() {
  local commands
  commands=$(commands_of "$page" "$@")
  echo "$commands" >>"$work/ran"
  commands=$(sed -e "s/\bHOST\b/$registry_host/g" -e "s/\bOWN-ACCOUNT\b/${owner:-}/" -e "s/\bACCOUNT\b/${account:-}/" \
    -e "s/\bKEY-ID\b/${key_id:-}/" -e "s/\bMEMBER\b/${member:-}/" -e "s|\bROLE\b|${role:-}|" \
    -e "s/\(^\|[^\$]\)\bTOKEN\b/\1${token:-}/" -e "s/\bDIGEST\b/${digest:-}/" \
    -e "s/\bteam-one\b/$documented_project/g" <<<"$commands")
  eval "$commands"
}
# expect_whole_page_ran: every command that the page shows was run by some check.
expect_whole_page_ran() { diff <(commands_in "$page" | cut -f 2- | sort -u) <(sort -u "$work/ran"); }
