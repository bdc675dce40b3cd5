//! How far a token reaches by the scopes of OAuth that it was made with: never further than its principal may go.

use crate::permission::Permission;

const PREFIX: &str = "https://www.googleapis.com/auth/";

/// The scopes that let a token do anything here. Those of Cloud Storage were Container Registry's, and clients that come
/// from there still ask for them.
const SCOPES: [(&str, u8); 6] = [
    ("cloud-platform", EVERYTHING),
    ("cloud-platform.read-only", READ),
    ("devstorage.full_control", PULL | PUSH | DELETE),
    ("devstorage.read_write", PULL | PUSH),
    ("devstorage.read_only", PULL),
    ("iam", IAM),
];

const EVERYTHING: u8 = 1;
const READ: u8 = 2;
const PULL: u8 = 4;
const PUSH: u8 = 8;
const DELETE: u8 = 16;
const IAM: u8 = 32;

/// What a token reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach(u8);

impl Reach {
    /// All that the principal may do: of credentials that have no scopes.
    pub const ALL: Self = Self(EVERYTHING);

    /// What scopes, with spaces between them, let a token do.
    pub fn of(scopes: &str) -> Self {
        let known = scopes.split_ascii_whitespace().filter_map(|scope| {
            let name = scope.strip_prefix(PREFIX)?;
            SCOPES.iter().find(|(known, _)| *known == name).map(|(_, bits)| bits)
        });
        Self(known.fold(0, |reach, bits| reach | bits))
    }

    /// Scopes that reach as far; `None` where there is nothing that they would keep out.
    pub fn scopes(self) -> Option<String> {
        if self.has(EVERYTHING) {
            return None;
        }
        let within = SCOPES.iter().filter(|(_, bits)| self.0 & bits == *bits);
        let names: Vec<_> = within.map(|(name, _)| format!("{PREFIX}{name}")).collect();
        Some(names.join(" "))
    }

    /// Whether a permission is within reach.
    pub fn allows(self, permission: Permission) -> bool {
        let (service, verb) = permission.service_and_verb();
        let reads = ["get", "list", "getIamPolicy", "downloadArtifacts"].contains(&verb);
        self.has(EVERYTHING)
            || (self.has(READ) && reads)
            || (self.has(PULL) && reads && service == "artifactregistry")
            || (self.has(PUSH)
                && [Permission::UPLOAD_ARTIFACTS, Permission::CREATE_ON_PUSH].contains(&permission))
            || (self.has(DELETE) && permission == Permission::DELETE_ARTIFACTS)
            || (self.has(IAM) && service == "iam")
    }

    fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the permissions these scopes reach, each by its letter.
    #[track_caller]
    fn check(scopes: &str, expected: &str) {
        let scopes: Vec<_> =
            scopes.split_ascii_whitespace().map(|name| format!("{PREFIX}{name}")).collect();
        let reach = Reach::of(&scopes.join(" "));
        let reached: String = [
            ('l', "artifactregistry.repositories.list"),
            ('r', "artifactregistry.repositories.downloadArtifacts"),
            ('w', "artifactregistry.repositories.uploadArtifacts"),
            ('d', "artifactregistry.repositories.deleteArtifacts"),
            ('c', "artifactregistry.repositories.create"),
            ('p', "resourcemanager.projects.get"),
            ('s', "resourcemanager.projects.setIamPolicy"),
            ('a', "iam.serviceAccounts.get"),
            ('t', "iam.serviceAccounts.getAccessToken"),
        ]
        .iter()
        .filter(|(_, name)| reach.allows(name.parse().expect("known")))
        .map(|(letter, _)| letter)
        .collect();
        assert_eq!(reached, expected, "{scopes:?}");
        let again = reach.scopes().map_or(Reach::ALL, |scopes| Reach::of(&scopes));
        assert_eq!(again, reach, "{scopes:?}");
    }

    #[test]
    fn scopes() {
        check("cloud-platform", "lrwdcpsat");
        check("userinfo.email cloud-platform compute", "lrwdcpsat");
        check("cloud-platform.read-only", "lrpa");
        check("devstorage.read_only", "lr");
        check("devstorage.read_write", "lrw");
        check("devstorage.full_control", "lrwd");
        check("devstorage.read_only iam", "lrat");
        check("iam", "at");
        check("userinfo.email", "");
        check("cloud-platform.evil", "");
        check("", "");
        // Scopes are whole addresses.
        assert_eq!(Reach::of("cloud-platform").scopes(), Some(String::new()));
        assert_eq!(Reach::of("x https://evil.example/auth/cloud-platform"), Reach::of(""));
    }
}
