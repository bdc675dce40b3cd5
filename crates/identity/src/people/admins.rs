//! The setting `admins`: people and service accounts that administer everything. A start gives them the roles of the
//! first owner, and takes from those who are gone from the setting what the setting gave.

use std::collections::BTreeSet;

use meta::change_way::ChangeWay;
use meta::events::{self, AuditEvent, EventAction};
use meta::given_roles::{self, GivenRole};
use meta::{Tx, accounts, policies, users};
use model::iam_policy::IamPolicy;
use model::principal::PolicyMember;
use model::resource::ORGANIZATION_NAME;
use model::role;

use crate::accounts::first_owner::OWNER_ROLES;
use crate::clock::Micros;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::evaluate::{has_administrator, parse_stored, write_policy};

/// The principal of what the settings do, in events and in the audit log.
pub const SETTINGS_PRINCIPAL: &str = "system:settings";

/// The changes that the setting `admins` made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminChanges {
    /// The members that got roles.
    pub given: Vec<String>,
    /// The members that roles were taken from.
    pub taken: Vec<String>,
    /// The members of the setting that do not exist yet.
    pub missing: Vec<String>,
    /// False if nobody is left who can sign in and administer everything.
    pub has_administrator: bool,
}

impl Identity {
    /// Makes the roles on the organization agree with the setting `admins`. A person who was not added yet gets the roles
    /// when the operator adds them; a service account at the next start.
    pub async fn apply_admins(&self) -> Result<AdminChanges, IdentityError> {
        let (admins, now) = (self.settings.admins.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            let taken = take_from_others(tx, &admins, now)?;
            let (mut given, mut missing) = (Vec::new(), Vec::new());
            for member in admins.iter() {
                if !exists(tx, member)? {
                    missing.push(member.to_string());
                } else if give(tx, member, now)? {
                    given.push(member.to_string());
                }
            }
            Ok(AdminChanges { given, taken, missing, has_administrator: has_administrator(tx)? })
        });
        let changes = writing.await?;
        self.poll_epoch().await?;
        Ok(changes)
    }
}

fn exists(tx: &mut Tx<'_>, member: &PolicyMember) -> Result<bool, IdentityError> {
    Ok(match member {
        PolicyMember::User(email) => users::find(tx, email)?.is_some(),
        PolicyMember::ServiceAccount(email) => accounts::find(tx, email.as_str())?.is_some(),
        PolicyMember::AllUsers
        | PolicyMember::AllAuthenticatedUsers
        | PolicyMember::Group(_)
        | PolicyMember::Domain(_) => false,
    })
}

/// Gives a member the roles of an administrator. Returns whether one was missing. A role that the member had from
/// elsewhere is not recorded, so that it is not taken again.
pub(super) fn give(
    tx: &mut Tx<'_>,
    member: &PolicyMember,
    now: Micros,
) -> Result<bool, IdentityError> {
    let mut policy = organization_policy(tx)?;
    let mut changed = false;
    for name in OWNER_ROLES {
        if policy.has_member(name, member) {
            continue;
        }
        policy.bind(role::find_role(name).expect("a predefined role"), member.clone());
        let given = GivenRole { member: member.to_string(), role: name.to_owned() };
        given_roles::insert(tx, &given, now)?;
        changed = true;
    }
    if changed {
        write_policy(tx, ORGANIZATION_NAME, &policy, now)?;
        record(tx, EventAction::AddAdmin, member.to_string(), now)?;
    }
    Ok(changed)
}

/// Takes the roles that the setting gave from members that it names no longer. Returns these members.
fn take_from_others(
    tx: &mut Tx<'_>,
    admins: &[PolicyMember],
    now: Micros,
) -> Result<Vec<String>, IdentityError> {
    let named: BTreeSet<_> = admins.iter().map(PolicyMember::to_string).collect();
    let mut policy = organization_policy(tx)?;
    let mut taken = BTreeSet::new();
    for given in given_roles::list(tx)?.into_iter().filter(|given| !named.contains(&given.member)) {
        given_roles::delete(tx, &given)?;
        let member = given.member.parse::<PolicyMember>();
        let member = member.map_err(|error| IdentityError::Internal(error.to_string()))?;
        policy.unbind_role(&given.role, &member);
        taken.insert(given.member);
    }
    if !taken.is_empty() {
        write_policy(tx, ORGANIZATION_NAME, &policy, now)?;
    }
    for member in &taken {
        record(tx, EventAction::RemoveAdmin, member.clone(), now)?;
    }
    Ok(taken.into_iter().collect())
}

fn organization_policy(tx: &mut Tx<'_>) -> Result<IamPolicy, IdentityError> {
    Ok(parse_stored(policies::find(tx, ORGANIZATION_NAME)?)?.policy)
}

/// Records what the settings did to a member.
fn record(
    tx: &mut Tx<'_>,
    action: EventAction,
    member: String,
    now: Micros,
) -> Result<(), IdentityError> {
    let event = AuditEvent {
        action,
        principal: SETTINGS_PRINCIPAL.to_owned(),
        resource: member,
        tag: None,
        digest: None,
        occurred_at: now,
        way: ChangeWay::Operator,
        place: None,
    };
    Ok(events::insert(tx, &event)?)
}
