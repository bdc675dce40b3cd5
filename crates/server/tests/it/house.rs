//! The house: which crate may use which, which files may import each other, and how names and comments are written.

mod circles;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The crates that each crate may use, of our own.
const ARROWS: [(&str, &[&str]); 11] = [
    ("model", &[]),
    ("meta", &["model"]),
    ("blob", &["model"]),
    ("identity", &["meta", "model"]),
    ("engine", &["blob", "identity", "meta", "model"]),
    ("proto", &[]),
    ("web", &["engine", "identity", "model"]),
    ("google", &["engine", "identity", "model", "proto", "web"]),
    ("oci", &["engine", "identity", "model", "web"]),
    ("console", &["engine", "identity", "model", "web"]),
    ("server", &["blob", "console", "engine", "google", "identity", "meta", "model", "oci", "web"]),
];

/// The libraries that would bring HTTP, SQL or gRPC into a crate that must not know it, and the crates that may use them.
const GUARDED: [(&[&str], &[&str]); 4] = [
    (&["axum", "hyper", "http"], &["web", "google", "oci", "console", "server"]),
    (&["rusqlite", "tokio-postgres"], &["meta"]),
    (&["tonic", "prost", "prost-types", "prost-reflect"], &["google", "proto"]),
    (&["tokio"], &["meta", "blob", "identity", "engine", "web", "google", "oci", "server"]),
];

/// The crates that answer requests.
const DOORS: [&str; 5] = ["web", "google", "oci", "console", "server"];

/// The files of `server` that put the stores together: they alone know `meta` and `blob` there.
const COMPOSITION: [&str; 5] = ["data.rs", "stores.rs", "run.rs", "run/seals.rs", "cli/adopt.rs"];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/").to_owned()
}

fn source_of(room: &str) -> PathBuf {
    crates().join(room).join("src")
}

/// The names under one heading of a crate's manifest. Our own crates are named as in the code.
fn dependencies(room: &str, heading: &str) -> Vec<String> {
    let manifest = std::fs::read_to_string(crates().join(room).join("Cargo.toml")).expect("there");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let Some(table) = manifest.get(heading) else { return Vec::new() };
    table.as_table().expect("a table").keys().cloned().collect()
}

#[test]
fn arrows_go_one_way() {
    let arrows = BTreeMap::from(ARROWS);
    for (room, allowed) in &arrows {
        for name in dependencies(room, "dependencies") {
            let ours = arrows.contains_key(name.as_str());
            assert!(!ours || allowed.contains(&name.as_str()), "{room} must not use {name}");
        }
        // Tests may use what is below, but nothing from above: that would bring the arrow back.
        for name in dependencies(room, "dev-dependencies") {
            let is_above = arrows.get(name.as_str()).is_some_and(|uses| uses.contains(room));
            assert!(!is_above, "the tests of {room} must not use {name}, which uses {room}");
        }
        for name in dependencies(room, "dependencies") {
            for (libraries, users) in GUARDED {
                let guarded = libraries.contains(&name.as_str());
                assert!(!guarded || users.contains(room), "{room} must not use {name}");
            }
        }
    }
    let rooms = std::fs::read_dir(crates()).expect("readable").flatten();
    for room in rooms.map(|room| room.file_name()) {
        assert!(arrows.contains_key(room.to_str().expect("plain")), "{room:?} has no arrows yet");
    }
}

/// The Rust files of a folder, and of the folders in it.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").flatten().map(|entry| entry.path());
    let found = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

fn uses(path: &Path, module: &str) -> bool {
    let text = std::fs::read_to_string(path).expect("readable");
    text.lines().any(|line| {
        line.trim_start().starts_with(&format!("use {module}::"))
            || line.contains(&format!("({module}::"))
            || line.contains(&format!(" {module}::"))
    })
}

/// Handlers speak to the engine: neither the database nor the store is theirs.
#[test]
fn handlers_do_not_reach_past_the_engine() {
    for room in DOORS {
        for path in sources(&source_of(room)) {
            let composes = COMPOSITION.iter().any(|name| path == source_of("server").join(name));
            let reaches = !composes && ["meta", "blob"].iter().any(|module| uses(&path, module));
            assert!(!reaches, "{} reaches past the engine", path.display());
        }
    }
}

/// Inside the engine, content is below what administers it and below what works in the background.
#[test]
fn content_uses_no_room_above_it() {
    let engine = source_of("engine");
    let above = [
        ("tags", &["content", "artifacts", "maintenance"][..]),
        ("content", &["artifacts", "maintenance"]),
        ("artifacts", &["maintenance"]),
    ];
    for (room, others) in above {
        for path in sources(&engine.join(room)) {
            let text = std::fs::read_to_string(&path).expect("readable");
            for other in others {
                let used = text.contains(&format!("crate::{other}::"));
                assert!(!used, "{} uses {other}, which is above {room}", path.display());
            }
        }
    }
}

/// Requests leave by one way, where addresses are vetted.
#[test]
fn requests_leave_by_one_way() {
    let leaves = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        ["reqwest::", "TcpStream::connect", "lookup_host("]
            .into_iter()
            .any(|way| text.contains(way))
    };
    let all = DOORS.iter().flat_map(|room| sources(&source_of(room)));
    let mut leaving: Vec<_> = all.filter(leaves).collect();
    let server = source_of("server");
    leaving.retain(|path| !path.starts_with(server.join("egress")));
    assert_eq!(leaving, [server.join("egress.rs")]);
}

/// A route says what it asks of its caller, or there is no way to it: one file adds routes to routers.
#[test]
fn routes_are_declared() {
    let adds = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        let called = |name: &str| text.split(name).skip(1).any(|rest| !rest.starts_with(')'));
        [".route(", ".route_service(", ".nest(", ".nest_service("].into_iter().any(called)
    };
    let all = DOORS.iter().flat_map(|room| sources(&source_of(room)));
    let adding: Vec<_> = all.filter(adds).collect();
    assert_eq!(adding, [source_of("web").join("routes.rs")]);
}

/// The paths in `text` between backticks that begin with a crate's source and do not exist below `crates`.
fn missing_paths(crates: &Path, text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("/src/"));
    let paths = quoted.filter(|path| !path.contains(['{', '<', '*', '…', ' ']));
    paths.filter(|path| !crates.join(path).exists()).map(str::to_owned).collect()
}

/// The files that documents name are there.
#[test]
fn documents_name_files_that_exist() {
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/internals.md"] {
        let path = crates().join("..").join(document);
        let text = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(missing_paths(&crates(), &text), Vec::<String>::new(), "in {document}");
    }
    let planted = "`web/src/gone.rs` and `web/src/routes.rs`, ``twice``";
    assert_eq!(missing_paths(&crates(), planted), ["web/src/gone.rs"]);
}

/// The numbers in the names of tests `attack_NN_…` are those of the list of attacks.
#[test]
fn every_tested_attack_is_listed() {
    let tests = crates().join("server/tests/it/attacks");
    let mut tested = BTreeSet::new();
    for path in sources(&crates()) {
        let text = std::fs::read_to_string(path).expect("readable");
        let numbers = text.split("fn attack_").skip(1).filter_map(|name| name.split('_').next());
        tested.extend(numbers.filter(|number| number.parse::<u8>().is_ok()).map(str::to_owned));
    }
    let readme = std::fs::read_to_string(tests.join("README.md")).expect("readable");
    let (list, _) = readme.split_once("## Not built yet").expect("the heading of the next list");
    let numbers = list.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let numbers = numbers.map(|(number, _)| number.to_owned());
    let listed: BTreeSet<_> = numbers.filter(|number| number.parse::<u8>().is_ok()).collect();
    assert_eq!(listed, tested);
}

/// The README shows every setting with its default.
#[test]
fn the_settings_in_the_readme_are_the_defaults() {
    use berth_server::config::Config;
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
    assert_eq!(count.sum::<usize>(), berth_server::config::KEYS.len(), "every one is shown");
}
