//! The dependencies between the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[test]
fn dependencies_go_one_way() {
    let may_use: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("model", &[][..]),
        ("meta", &["model"]),
        ("blob", &["model"]),
        ("engine", &["model", "meta", "blob"]),
        ("proto", &[]),
        ("server", &["model", "meta", "blob", "engine", "proto"]),
    ]);
    // Dependencies that would bring HTTP or SQL into a crate that must not know it.
    let foreign: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("model", &["tokio", "axum", "hyper", "http", "rusqlite", "tokio-postgres"][..]),
        ("meta", &["axum", "hyper", "http"]),
        ("blob", &["axum", "hyper", "http", "rusqlite", "tokio-postgres"]),
        ("engine", &["axum", "hyper", "http", "rusqlite", "tokio-postgres"]),
        ("proto", &["tokio", "axum", "hyper", "http", "rusqlite", "tokio-postgres"]),
        ("server", &["rusqlite", "tokio-postgres"]),
    ]);
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/");
    for (room, allowed) in &may_use {
        let manifest =
            std::fs::read_to_string(crates.join(room).join("Cargo.toml")).expect("there");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let dependencies = manifest["dependencies"].as_table().expect("a table");
        for name in dependencies.keys() {
            let ours = may_use.contains_key(name.as_str());
            assert!(!ours || allowed.contains(&name.as_str()), "{room} must not use {name}");
            assert!(!foreign[room].contains(&name.as_str()), "{room} must not use {name}");
        }
    }
    let rooms = std::fs::read_dir(crates).expect("readable").flatten();
    for room in rooms.map(|room| room.file_name()) {
        assert!(may_use.contains_key(room.to_str().expect("plain")), "{room:?} has no arrows yet");
    }
}

/// The Rust files in a folder and its subfolders.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").flatten().map(|entry| entry.path());
    let found = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// Handlers call the engine. They do not use the database or the store.
#[test]
fn handlers_do_not_reach_past_the_engine() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in ["api", "layer", "listen"].iter().flat_map(|room| rust_files(&source.join(room))) {
        let text = std::fs::read_to_string(&path).expect("readable");
        for word in ["meta::", "blob::"] {
            let used = text.lines().any(|line| {
                line.trim_start().starts_with(&format!("use {word}"))
                    || line.contains(&format!("({word}"))
            });
            assert!(!used, "{} uses {word}", path.display());
        }
    }
}

/// All outgoing requests go through `egress`, which checks addresses.
#[test]
fn only_egress_sends_requests() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let leaves = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        ["reqwest::", "TcpStream::connect", "lookup_host("]
            .into_iter()
            .any(|way| text.contains(way))
    };
    let mut leaving: Vec<_> = rust_files(&source).into_iter().filter(leaves).collect();
    leaving.retain(|path| !path.starts_with(source.join("egress")));
    assert_eq!(leaving, [source.join("egress.rs")]);
}

/// Only one file adds routes to routers, so that each route must declare what it needs.
#[test]
fn routes_are_declared() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let adds = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        let called = |name: &str| text.split(name).skip(1).any(|rest| !rest.starts_with(')'));
        [".route(", ".route_service(", ".nest(", ".nest_service("].into_iter().any(called)
    };
    let adding: Vec<_> = rust_files(&source).into_iter().filter(adds).collect();
    assert_eq!(adding, [source.join("api/routes.rs")]);
}

/// `attacks/README.md` lists the numbers of all attacks that have a test, and no other number.
#[test]
fn every_attack_is_listed_in_the_readme() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/");
    let tests = crates.join("server/tests/it");
    let mut tested = BTreeSet::new();
    for path in rust_files(crates) {
        let text = std::fs::read_to_string(path).expect("readable");
        let names = text.split("fn attack_").skip(1);
        tested.extend(names.filter_map(|name| Some(name.split_once('_')?.0.to_owned())));
    }
    tested.retain(|number| number.parse::<u8>().is_ok());
    let readme = std::fs::read_to_string(tests.join("attacks/README.md")).expect("there");
    let (listed, _) = readme.split_once("## Not built yet").expect("a heading");
    let lines = listed.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let numbers = lines.map(|(number, _)| number).filter(|number| number.parse::<u8>().is_ok());
    assert_eq!(numbers.map(str::to_owned).collect::<BTreeSet<_>>(), tested);
}

/// The README shows every setting with its default.
#[test]
fn the_settings_in_the_readme_are_the_defaults() {
    use server::config::Config;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("there");
    let (_, after) = readme.split_once("```toml\n").expect("the settings");
    let (settings, _) = after.split_once("```").expect("their end");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("berth.toml");
    std::fs::write(&file, settings).expect("writable");
    let shown = Config::read(Some(&file), std::iter::empty()).expect("valid");
    assert_eq!(format!("{shown:?}"), format!("{:?}", Config::default()));
    let keys: toml::Table = settings.parse().expect("TOML");
    let count = keys.values().map(|value| value.as_table().map_or(1, toml::Table::len));
    assert_eq!(count.sum::<usize>(), server::config::KEYS.len(), "every one is shown");
}
