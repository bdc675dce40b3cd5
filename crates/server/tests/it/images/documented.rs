//! `docs/api.md` lists each method with its path, and says whether the method is served.

use std::collections::BTreeSet;
use std::path::Path;

use crate::util::routes::{ResourceNames, all_routes};
use crate::util::{AccountServer, on_both};

/// A path without the names of the fields that its parts fill: `/v1/projects/*/locations/*`.
fn plain_path(template: &str) -> String {
    let parts = template.split('{').map(|part| part.split_once('=').map_or(part, |(_, rest)| rest));
    parts.collect::<String>().replace('}', "")
}

on_both![the_page_lists_every_method_and_its_state];

async fn the_page_lists_every_method_and_its_state(accounts: AccountServer) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let page = std::fs::read_to_string(page).expect("part of the documentation");
    let written: BTreeSet<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    // The project is not there, so that the requests change nothing.
    let names = ResourceNames::new(
        "no-such-project",
        "no-such",
        ("none@no-such-project.iam.gserviceaccount.com", "x"),
    );
    let mut lines = Vec::new();
    for route in all_routes() {
        let path = names.fill_template(&route.template);
        let reply = accounts.owner.client.send(route.verb.clone(), &path, "{}").await;
        let served = if reply.status == 501 { "not yet" } else { "yes" };
        let service = route.method.name.rsplit_once('.').expect("it has one").0;
        let line = format!(
            "| `{}` | `{} {}` | {served} |",
            route.method_name(),
            route.verb,
            plain_path(&route.template)
        );
        lines.push((service.to_owned(), line));
    }
    let expected: BTreeSet<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    let missing: Vec<_> =
        lines.iter().filter(|(_, line)| !written.contains(line.as_str())).collect();
    let surplus: Vec<_> = written.difference(&expected).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing: {missing:#?}\nsurplus: {surplus:#?}"
    );
}
