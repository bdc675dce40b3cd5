//! Makes a constant of each permission that a predefined role has, so that a name that no role knows does not compile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=data/roles.txt");
    let data = fs::read_to_string("data/roles.txt").expect("the roles are part of the crate");
    let lines = data.lines().map(str::trim);
    let permissions = lines.filter(|line| {
        !line.is_empty() && !line.starts_with(['#', '+']) && !line.starts_with("role ")
    });
    let mut services: BTreeMap<&str, BTreeMap<String, &str>> = BTreeMap::new();
    for permission in permissions {
        let (service, rest) = permission.split_once('.').expect("a service, and what is done");
        services.entry(service).or_default().insert(constant_name(rest), permission);
    }
    let mut code = String::new();
    for (service, constants) in services {
        writeln!(code, "/// The permissions of `{service}`.\npub mod {service} {{")
            .expect("a String");
        writeln!(code, "    use crate::permission::Permission;").expect("a String");
        for (name, permission) in constants {
            writeln!(code, "    /// `{permission}`.").expect("a String");
            writeln!(
                code,
                "    pub const {name}: Permission = Permission::from_data({permission:?});"
            )
            .expect("a String");
        }
        code.push_str("}\n");
    }
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("permissions.rs"), code).expect("the folder is there");
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
