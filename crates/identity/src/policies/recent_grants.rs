//! The permissions that policies granted lately. A client needs the same permissions again and again. Each takes one
//! look then, however many policies decide and however many members they have.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use model::permission::Permission;
use model::resource::Resource;

/// The permissions that policies granted lately to the holder of a credential.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentGrants(Arc<Mutex<GrantsOfEpoch>>);

#[derive(Debug, Default)]
struct GrantsOfEpoch {
    /// The epoch of access under which all of them were granted.
    epoch: i64,
    allowed: VecDeque<(Permission, Resource)>,
}

impl RecentGrants {
    /// The most grants that are kept. They are compared one by one.
    const MAX_GRANTS: usize = 8;

    /// Returns whether a permission on a resource was granted lately, under this epoch.
    pub(crate) fn contains(&self, epoch: i64, permission: Permission, resource: &Resource) -> bool {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut grants = recent.allowed.iter();
        recent.epoch == epoch
            && grants.any(|(granted, on)| *granted == permission && on == resource)
    }

    /// Records a permission that was granted under this epoch.
    pub(crate) fn insert(&self, epoch: i64, permission: Permission, resource: &Resource) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.epoch != epoch {
            *recent = GrantsOfEpoch { epoch, ..GrantsOfEpoch::default() };
        }
        recent.allowed.truncate(Self::MAX_GRANTS - 1);
        recent.allowed.push_front((permission, resource.clone()));
    }
}

#[cfg(test)]
mod tests {
    use model::permissions::artifactregistry;

    use super::*;

    fn repository(number: usize) -> Resource {
        let name = format!("projects/p/locations/l/repositories/r{number}");
        name.parse().expect("a repository")
    }

    #[test]
    fn an_answer_is_of_one_epoch_one_permission_and_one_resource() {
        let (grants, read) =
            (RecentGrants::default(), artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS);
        grants.insert(1, read, &repository(1));
        assert!(grants.contains(1, read, &repository(1)));
        assert!(
            grants.clone().contains(1, read, &repository(1)),
            "shared by all of the credential"
        );
        assert!(!grants.contains(1, read, &repository(2)));
        assert!(!grants.contains(
            1,
            artifactregistry::REPOSITORIES_UPLOAD_ARTIFACTS,
            &repository(1)
        ));
        assert!(!grants.contains(2, read, &repository(1)));
        grants.insert(2, read, &repository(2));
        assert!(
            !grants.contains(1, read, &repository(1)) && !grants.contains(2, read, &repository(1))
        );
    }

    #[test]
    fn the_latest_answers_are_kept() {
        let (grants, read) =
            (RecentGrants::default(), artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS);
        for number in 0..100 {
            grants.insert(1, read, &repository(number));
        }
        let kept = (0..100).filter(|number| grants.contains(1, read, &repository(*number)));
        assert!(kept.eq(100 - RecentGrants::MAX_GRANTS..100));
    }
}
