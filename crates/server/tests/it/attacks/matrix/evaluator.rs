//! A second implementation of authorization. It shares no code with the server: it reads the role data in its own way,
//! and has its own rules of which policies apply to a name.

use std::collections::{BTreeMap, BTreeSet};

const ROLES: &str = include_str!("../../../../../model/data/roles.txt");
pub(crate) const ORGANIZATION: &str = "organizations/1";

/// The identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallerIdentity {
    Nobody,
    Account { email: String, disabled: bool },
}

/// The roles, and their bindings.
pub(crate) struct Evaluator {
    roles: BTreeMap<String, BTreeSet<String>>,
    /// The resource, the role and the member of each binding.
    bindings: Vec<(String, String, String)>,
}

impl Evaluator {
    pub(crate) fn new() -> Self {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = String::new();
        for words in ROLES.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
            match words.as_slice() {
                [] | ["#", ..] => {}
                ["role", name, ..] => current = (*name).to_owned(),
                ["+", other] => lines.entry(current.clone()).or_default().push(format!("+{other}")),
                [permission] => {
                    lines.entry(current.clone()).or_default().push((*permission).to_owned());
                }
                other => panic!("a line of the role data: {other:?}"),
            }
        }
        let roles = lines.keys().map(|role| (role.clone(), expand_role(role, &lines))).collect();
        Self { roles, bindings: Vec::new() }
    }

    /// Every permission that some role holds.
    pub(crate) fn all_permissions(&self) -> BTreeSet<String> {
        self.roles.values().flatten().cloned().collect()
    }

    /// Adds a custom role.
    pub(crate) fn add_role(&mut self, role: &str, permissions: &[&str]) {
        let permissions = permissions.iter().map(|name| (*name).to_owned()).collect();
        self.roles.insert(role.to_owned(), permissions);
    }

    /// Returns true if a role can be granted on a resource: a custom role of a project only in its project.
    pub(crate) fn is_grantable(role: &str, resource: &str) -> bool {
        match role.split_once("/roles/") {
            Some((parent, _)) => resources_above(resource).iter().any(|above| above == parent),
            None => true,
        }
    }

    pub(crate) fn add_binding(&mut self, resource: &str, role: &str, member: &str) {
        assert!(self.roles.contains_key(role), "{role} is no role");
        self.bindings.push((resource.to_owned(), role.to_owned(), member.to_owned()));
    }

    pub(crate) fn forget_bindings(&mut self) {
        self.bindings.clear();
    }

    /// Returns true if the caller has a permission on a resource.
    pub(crate) fn allows(&self, who: &CallerIdentity, permission: &str, name: &str) -> bool {
        if matches!(who, CallerIdentity::Account { disabled: true, .. }) {
            return false;
        }
        let above = resources_above(name);
        self.bindings.iter().any(|(resource, role, member)| {
            let meant = match (member.as_str(), who) {
                ("allUsers", _) => true,
                (_, CallerIdentity::Nobody) => false,
                ("allAuthenticatedUsers", CallerIdentity::Account { .. }) => true,
                (member, CallerIdentity::Account { email, .. }) => {
                    member == format!("serviceAccount:{email}")
                }
            };
            meant && above.contains(resource) && self.roles[role].contains(permission)
        })
    }

    /// Returns true if the caller is authenticated.
    pub(crate) fn is_authenticated(who: &CallerIdentity) -> bool {
        matches!(who, CallerIdentity::Account { disabled: false, .. })
    }
}

/// The permissions of a role, including those of the roles that it includes.
fn expand_role(role: &str, lines: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for line in &lines[role] {
        match line.strip_prefix('+') {
            Some(other) => held.extend(expand_role(other, lines)),
            None => {
                held.insert(line.clone());
            }
        }
    }
    held
}

/// The resources whose policies apply to a name: the resource itself and all of its parents.
fn resources_above(name: &str) -> Vec<String> {
    let words: Vec<_> = name.split('/').collect();
    let mut above = vec![ORGANIZATION.to_owned()];
    match words.as_slice() {
        ["projects", _, "serviceAccounts", email, ..] => {
            // An account belongs to the project in its address.
            let (_, host) = email.split_once('@').expect("an address");
            let project = host.strip_suffix(".iam.gserviceaccount.com").expect("an account's");
            above.push(format!("projects/{project}"));
            above.push(format!("projects/{project}/serviceAccounts/{email}"));
        }
        ["projects", project, "locations", location, "repositories", repository, ..] => {
            above.push(format!("projects/{project}"));
            above
                .push(format!("projects/{project}/locations/{location}/repositories/{repository}"));
        }
        ["projects", project, ..] => above.push(format!("projects/{project}")),
        ["organizations", "1"] | ["organizations", "1", "roles", _] => {}
        other => panic!("a name that nothing is known of: {other:?}"),
    }
    above
}
