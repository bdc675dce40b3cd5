//! Makes a constant of each permission that a predefined role has, so that a name that no role knows does not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=data/roles.txt");
    let data = fs::read_to_string("data/roles.txt").expect("the roles are part of the crate");
    let lines = data.lines().map(str::trim);
    let permissions: BTreeSet<_> = lines
        .filter(|line| {
            !line.is_empty() && !line.starts_with(['#', '+']) && !line.starts_with("role ")
        })
        .collect();
    let code = list_code(&permissions) + &constants_code(&permissions);
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("permissions.rs"), code).expect("the folder is there");
}

/// The code of the list of all permissions, in byte order.
fn list_code(permissions: &BTreeSet<&str>) -> String {
    let mut code = format!(
        "/// The number of permissions.\npub(crate) const COUNT: usize = {};\n\
         /// All permissions, in byte order.\n\
         pub(crate) const ALL: [crate::permission::Permission; COUNT] = [\n",
        permissions.len()
    );
    for (number, permission) in permissions.iter().enumerate() {
        writeln!(code, "    crate::permission::Permission::from_data({number}, {permission:?}),")
            .expect("a String");
    }
    code.push_str("];\n");
    code
}

/// The code of a module for each service, with a constant for each permission.
fn constants_code(permissions: &BTreeSet<&str>) -> String {
    let mut services: BTreeMap<&str, String> = BTreeMap::new();
    for (number, permission) in permissions.iter().enumerate() {
        let (service, rest) = permission.split_once('.').expect("a service, and what is done");
        let (code, name) = (services.entry(service).or_default(), constant_name(rest));
        writeln!(code, "    /// `{permission}`.").expect("a String");
        writeln!(code, "    pub const {name}: Permission = super::ALL[{number}];")
            .expect("a String");
    }
    let module = |(service, constants)| {
        format!(
            "/// The permissions of `{service}`.\npub mod {service} {{\n    \
             use crate::permission::Permission;\n{constants}}}\n"
        )
    };
    services.into_iter().map(module).collect()
}

/// `REPOSITORIES_UPLOAD_ARTIFACTS` of `repositories.uploadArtifacts`.
fn constant_name(permission: &str) -> String {
    let mut name = String::new();
    for c in permission.chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(if c == '.' { '_' } else { c.to_ascii_uppercase() });
    }
    name
}
