//! OAuth scopes, which limit a token to a part of the permissions of its principal.

use crate::permission::Permission;
use crate::permissions::artifactregistry;

const PREFIX: &str = "https://www.googleapis.com/auth/";

/// The scopes that allow something in this registry. Container Registry used the scopes of Cloud Storage
/// (`devstorage`), and its clients still request them.
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

/// The OAuth scopes of a token, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OauthScopes(u8);

impl OauthScopes {
    /// No limit. Credentials without scopes are not limited.
    pub const UNLIMITED: Self = Self(EVERYTHING);

    /// Parses scopes that are separated by spaces. Unknown scopes are ignored.
    pub fn parse(scopes: &str) -> Self {
        let known = scopes.split_ascii_whitespace().filter_map(|scope| {
            let name = scope.strip_prefix(PREFIX)?;
            SCOPES.iter().find(|(known, _)| *known == name).map(|(_, bits)| bits)
        });
        Self(known.fold(0, |all, bits| all | bits))
    }

    /// Returns scopes that allow the same permissions, separated by spaces, or `None` if there is no limit.
    pub fn to_text(self) -> Option<String> {
        if self.has(EVERYTHING) {
            return None;
        }
        let included = SCOPES.iter().filter(|(_, bits)| self.0 & bits == *bits);
        let names: Vec<_> = included.map(|(name, _)| format!("{PREFIX}{name}")).collect();
        Some(names.join(" "))
    }

    /// Returns whether the scopes allow a permission.
    pub fn allows(self, permission: Permission) -> bool {
        let service = permission.service();
        let reads = ["get", "list", "getIamPolicy", "downloadArtifacts"];
        let is_read = reads.contains(&permission.verb());
        self.has(EVERYTHING)
            || (self.has(READ) && is_read)
            || (self.has(PULL) && is_read && service == "artifactregistry")
            || (self.has(PUSH)
                && [
                    artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS,
                    artifactregistry::REPOSITORIES_CREATE_ON_PUSH,
                ]
                .contains(&permission))
            || (self.has(DELETE) && permission == artifactregistry::REPOSITORIES_DELETE_ARTIFACTS)
            || (self.has(IAM) && service == "iam")
    }

    fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the permissions that these scopes allow. `expected` has one letter for each permission.
    #[track_caller]
    fn check(scopes: &str, expected: &str) {
        let scopes: Vec<_> =
            scopes.split_ascii_whitespace().map(|name| format!("{PREFIX}{name}")).collect();
        let reach = OauthScopes::parse(&scopes.join(" "));
        let allowed: String = [
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
        assert_eq!(allowed, expected, "{scopes:?}");
        let again =
            reach.to_text().map_or(OauthScopes::UNLIMITED, |scopes| OauthScopes::parse(&scopes));
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
        // A scope is a whole URL.
        assert_eq!(OauthScopes::parse("cloud-platform").to_text(), Some(String::new()));
        assert_eq!(
            OauthScopes::parse("x https://evil.example/auth/cloud-platform"),
            OauthScopes::parse("")
        );
    }
}
