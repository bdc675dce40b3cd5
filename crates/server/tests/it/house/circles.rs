//! Files of one crate do not import each other in a circle. A parent and its own children may: they are one thing.
//!
//! Imports are read from the text: `use` declarations and paths that begin with `crate`, `self`, `super` or a child. A name
//! that a file only passes on (`pub use`) counts for the file that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{ARROWS, source_of, sources};

/// The path of a module, without `crate`.
type Module = Vec<String>;

/// The files of one crate, as modules.
#[derive(Default)]
struct Crate {
    texts: BTreeMap<Module, String>,
    /// The names that a module passes on, and the path that each stands for.
    passed_on: BTreeMap<(Module, String), Module>,
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (room, _) in ARROWS {
        let circles = Crate::read(&source_of(room)).circles();
        assert!(circles.is_empty(), "{room}: these files import each other: {circles:#?}");
    }
}

#[test]
fn a_planted_circle_is_found() {
    let check = |files: &[(&str, &str)], expected: &[&[&str]]| {
        let mut planted = Crate::default();
        for (path, text) in files {
            planted.add(module_of(Path::new(path)), text);
        }
        assert_eq!(planted.circles(), expected, "{files:?}");
    };
    check(&[("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "")], &[]);
    check(
        &[("a.rs", "use crate::b::{B, x};"), ("b.rs", "fn f() { crate::a::g() }")],
        &[&["a", "b"]],
    );
    let through_lib =
        [("lib.rs", "pub use b::B;"), ("a.rs", "use crate::B;"), ("b.rs", "use super::a::A;")];
    check(&through_lib, &[&["a", "b"]]);
    check(&[("a.rs", "mod b; use b::B;"), ("a/b.rs", "use super::A;")], &[]);
    check(&[("a.rs", "// use crate::b::B;"), ("b.rs", "use crate::a::A;")], &[]);
    let in_tests = "#[cfg(test)]\nmod tests { use crate::b::B; }";
    check(&[("a.rs", in_tests), ("b.rs", "use crate::a::A;")], &[]);
}

fn module_of(path: &Path) -> Module {
    let path = path.with_extension("");
    let parts = path.iter().map(|part| part.to_str().expect("plain").to_owned());
    parts.filter(|part| part != "lib" && part != "main").collect()
}

impl Crate {
    fn read(source: &Path) -> Self {
        let mut read = Self::default();
        for path in sources(source) {
            let module = module_of(path.strip_prefix(source).expect("within"));
            if !module.iter().any(|part| part == "tests") {
                read.add(module, &std::fs::read_to_string(&path).expect("readable"));
            }
        }
        read
    }

    fn add(&mut self, module: Module, text: &str) {
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let code = text[..end].lines().map(|line| line.split("//").next().unwrap_or_default());
        self.texts.insert(module, code.collect::<Vec<_>>().join("\n"));
    }

    /// The groups of files that import each other, each in order.
    fn circles(mut self) -> Vec<Vec<String>> {
        let mut imports: BTreeMap<Module, Vec<Module>> = BTreeMap::new();
        for (module, text) in self.texts.clone() {
            for declaration in use_declarations(&text) {
                for path in expand(declaration.tree, &[]) {
                    let Some(path) = self.absolute(&module, path) else { continue };
                    match (declaration.is_public, path.last()) {
                        (true, Some(name)) => {
                            self.passed_on.insert((module.clone(), name.clone()), path);
                        }
                        _ => imports.entry(module.clone()).or_default().push(path),
                    }
                }
            }
            for path in inline_paths(&text) {
                let path = self.absolute(&module, path);
                imports.entry(module.clone()).or_default().extend(path);
            }
        }
        let mut arrows: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, paths) in imports {
            let files = paths.iter().filter_map(|path| self.file_of(path, 0));
            let others = files.filter(|file| !is_family(file, &module));
            arrows.insert(module.clone(), others.collect());
        }
        groups(&arrows)
    }

    /// A path from the crate's root. `None`: it leads out of the crate.
    fn absolute(&self, module: &Module, path: Vec<String>) -> Option<Module> {
        let mut base = module.clone();
        let mut rest = path.as_slice();
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child = [base.as_slice(), &[first.to_owned()]].concat();
                self.texts.contains_key(&child).then_some(())?;
            }
        }
        Some([&base, rest].concat())
    }

    /// The file that defines what a path names.
    fn file_of(&self, path: &[String], depth: usize) -> Option<Module> {
        let end = (0..=path.len()).rev().find(|end| self.texts.contains_key(&path[..*end]))?;
        let module = path[..end].to_vec();
        let passed_on =
            path.get(end).and_then(|name| self.passed_on.get(&(module.clone(), name.clone())));
        match passed_on {
            Some(to) if depth < 5 => {
                self.file_of(&[to.as_slice(), &path[end + 1..]].concat(), depth + 1)
            }
            // What stands in the root itself is everybody's.
            _ => Some(module).filter(|module| !module.is_empty()),
        }
    }
}

fn is_family(one: &Module, other: &Module) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

struct UseDeclaration<'t> {
    is_public: bool,
    tree: &'t str,
}

fn use_declarations(text: &str) -> Vec<UseDeclaration<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let (before, after) = rest.split_at(at);
        let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
        let Some((tree, next)) = after["use ".len()..].split_once(';') else { break };
        if line.is_empty() || line.starts_with("pub") {
            found.push(UseDeclaration { is_public: line.starts_with("pub"), tree: tree.trim() });
            rest = next;
        } else {
            rest = &after["use ".len()..];
        }
    }
    found
}

/// The paths of a `use` tree.
fn expand(tree: &str, prefix: &[String]) -> Vec<Vec<String>> {
    let parts = |text: &str| {
        let parts = text.split("::").map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![[prefix, &parts(path)].concat()];
    };
    let prefix = [prefix, &parts(head)].concat();
    let (mut depth, mut start, mut paths) = (0, 0, Vec::new());
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = group[start..at].trim();
                if !item.is_empty() {
                    paths.extend(expand(item, &prefix));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// Paths of two parts and more in the code, outside of `use` declarations.
fn inline_paths(text: &str) -> Vec<Vec<String>> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_name(c) && c != ':');
    let paths = words.filter(|word| word.contains("::") && !word.starts_with(':'));
    paths.map(|word| word.split("::").map(str::to_owned).collect()).collect()
}

/// The groups of two modules and more of which each reaches each other.
fn groups(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<String>> {
    let reach = |from: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for to in arrows.get(&module).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = arrows.keys().map(|module| (module, reach(module))).collect();
    let mut found = BTreeSet::new();
    for (module, seen) in &reached {
        let back = |other: &&Module| reached.get(other).is_some_and(|back| back.contains(*module));
        let mut group: BTreeSet<_> =
            seen.iter().filter(back).map(|other| other.join("/")).collect();
        group.insert(module.join("/"));
        if group.len() > 1 {
            found.insert(group.into_iter().collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}
