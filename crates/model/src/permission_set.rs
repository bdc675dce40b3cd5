//! Sets of permissions, which roles are made of.

use crate::permission::{Permission, all_permissions};
use crate::permissions::COUNT;

const BITS: usize = u64::BITS as usize;

/// A set of permissions, with one bit for each permission that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PermissionSet([u64; COUNT.div_ceil(BITS)]);

impl PermissionSet {
    /// Returns whether the set has a permission.
    pub fn contains(&self, permission: Permission) -> bool {
        let number = permission.number();
        self.0[number / BITS] & (1 << (number % BITS)) != 0
    }

    /// Returns the permissions of the set, in byte order.
    pub fn iter(&self) -> impl Iterator<Item = Permission> {
        all_permissions().iter().copied().filter(|permission| self.contains(*permission))
    }

    /// Returns the number of permissions.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns whether the set has no permission.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Extend<Permission> for PermissionSet {
    fn extend<Permissions: IntoIterator<Item = Permission>>(&mut self, permissions: Permissions) {
        for number in permissions.into_iter().map(Permission::number) {
            self.0[number / BITS] |= 1 << (number % BITS);
        }
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<Permissions: IntoIterator<Item = Permission>>(permissions: Permissions) -> Self {
        let mut set = Self::default();
        set.extend(permissions);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let all = all_permissions();
        let odd: Vec<_> = all.iter().copied().skip(1).step_by(2).collect();
        // Some come twice, and in another order.
        let set: PermissionSet = odd.iter().rev().chain(&odd[..2]).copied().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), odd);
        assert_eq!(set.len(), odd.len());
        for (number, permission) in all.iter().enumerate() {
            assert_eq!(set.contains(*permission), number % 2 == 1, "{permission}");
        }
        assert!(!set.is_empty() && PermissionSet::default().is_empty());
    }
}
