//! Audit events (table `events`), each of which is written in the transaction of the change itself.

use model::digest::Digest;

use crate::change_way::{ChangeWay, way_at};
use crate::{Id, MetaError, SqlRow, Tx, opt_digest_at, params};

/// The kind of a change that an event records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventAction {
    /// A repository was created.
    Create,
    /// The settings of a repository were changed.
    Update,
    /// A repository was deleted.
    DeleteRepository,
    /// A manifest was pushed.
    Push,
    /// A manifest was deleted.
    Delete,
    /// The annotations of a manifest were set.
    Annotate,
    /// An image was deleted.
    DeletePackage,
    /// The annotations of an image were set.
    AnnotatePackage,
    /// A tag was set.
    Tag,
    /// A tag was deleted.
    Untag,
    /// A rule of a repository was created.
    CreateRule,
    /// A rule of a repository was changed.
    UpdateRule,
    /// A rule of a repository was deleted.
    DeleteRule,
    /// The policy of a resource was set.
    SetPolicy,
    /// A project was created.
    CreateProject,
    /// A project was deleted.
    DeleteProject,
    /// A service account was created.
    CreateAccount,
    /// A service account was changed.
    UpdateAccount,
    /// A service account was deleted.
    DeleteAccount,
    /// A key of a service account was created.
    CreateKey,
    /// A key of a service account was changed or deleted.
    ChangeKey,
    /// The signing keys were deleted, because the server was started with a new master key.
    NewMasterKey,
    /// The account of the first owner was created.
    CreateOwner,
    /// A new key of the first owner was created, and the lost parts of the account were restored.
    RestoreOwner,
    /// A version of a secret was added.
    AddSecretVersion,
    /// A version of a secret was enabled.
    EnableSecretVersion,
    /// A version of a secret was disabled.
    DisableSecretVersion,
    /// A version of a secret was deleted.
    DeleteSecretVersion,
    /// A secret was deleted, with all versions.
    DeleteSecret,
    /// A person was added.
    AddUser,
    /// A person was disabled, and their sessions were ended.
    DisableUser,
    /// A person was enabled.
    EnableUser,
    /// A link was made, by which a person sets a new password.
    ResetPassword,
    /// A person set a password, and their sessions were ended.
    SetPassword,
    /// A person signed in.
    SignIn,
    /// Sessions of a person were ended.
    EndSessions,
    /// The settings gave a member the roles of an administrator.
    AddAdmin,
    /// The settings took the roles of an administrator from a member.
    RemoveAdmin,
    /// A custom role was created.
    CreateRole,
    /// A custom role was changed.
    UpdateRole,
    /// A custom role was deleted. It can still be restored.
    DeleteRole,
    /// A deleted custom role was restored.
    UndeleteRole,
}

impl EventAction {
    /// All kinds of changes.
    pub const ALL: [Self; 42] = [
        Self::Create,
        Self::Update,
        Self::DeleteRepository,
        Self::Push,
        Self::Delete,
        Self::Annotate,
        Self::DeletePackage,
        Self::AnnotatePackage,
        Self::Tag,
        Self::Untag,
        Self::CreateRule,
        Self::UpdateRule,
        Self::DeleteRule,
        Self::SetPolicy,
        Self::CreateProject,
        Self::DeleteProject,
        Self::CreateAccount,
        Self::UpdateAccount,
        Self::DeleteAccount,
        Self::CreateKey,
        Self::ChangeKey,
        Self::NewMasterKey,
        Self::CreateOwner,
        Self::RestoreOwner,
        Self::AddSecretVersion,
        Self::EnableSecretVersion,
        Self::DisableSecretVersion,
        Self::DeleteSecretVersion,
        Self::DeleteSecret,
        Self::AddUser,
        Self::DisableUser,
        Self::EnableUser,
        Self::ResetPassword,
        Self::SetPassword,
        Self::SignIn,
        Self::EndSessions,
        Self::AddAdmin,
        Self::RemoveAdmin,
        Self::CreateRole,
        Self::UpdateRole,
        Self::DeleteRole,
        Self::UndeleteRole,
    ];

    /// Returns the name of the action in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::DeleteRepository => "delete-repository",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Annotate => "annotate",
            Self::DeletePackage => "delete-package",
            Self::AnnotatePackage => "annotate-package",
            Self::Tag => "tag",
            Self::Untag => "untag",
            Self::CreateRule => "create-rule",
            Self::UpdateRule => "update-rule",
            Self::DeleteRule => "delete-rule",
            Self::SetPolicy => "set-policy",
            Self::CreateProject => "create-project",
            Self::DeleteProject => "delete-project",
            Self::CreateAccount => "create-account",
            Self::UpdateAccount => "update-account",
            Self::DeleteAccount => "delete-account",
            Self::CreateKey => "create-key",
            Self::ChangeKey => "change-key",
            Self::NewMasterKey => "new-master-key",
            Self::CreateOwner => "create-owner",
            Self::RestoreOwner => "restore-owner",
            Self::AddSecretVersion => "add-secret-version",
            Self::EnableSecretVersion => "enable-secret-version",
            Self::DisableSecretVersion => "disable-secret-version",
            Self::DeleteSecretVersion => "delete-secret-version",
            Self::DeleteSecret => "delete-secret",
            Self::AddUser => "add-user",
            Self::DisableUser => "disable-user",
            Self::EnableUser => "enable-user",
            Self::ResetPassword => "reset-password",
            Self::SetPassword => "set-password",
            Self::SignIn => "sign-in",
            Self::EndSessions => "end-sessions",
            Self::AddAdmin => "add-admin",
            Self::RemoveAdmin => "remove-admin",
            Self::CreateRole => "create-role",
            Self::UpdateRole => "update-role",
            Self::DeleteRole => "delete-role",
            Self::UndeleteRole => "undelete-role",
        }
    }

    /// Returns the action with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// A change of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// The kind of change.
    pub action: EventAction,
    /// The principal that made the change.
    pub principal: String,
    /// The name of the resource.
    pub resource: String,
    /// The tag, if the change is about a tag.
    pub tag: Option<String>,
    /// The digest, if the change is about a manifest.
    pub digest: Option<Digest>,
    /// The time of the change.
    pub occurred_at: i64,
    /// The way by which the change came.
    pub way: ChangeWay,
    /// The repository and the image, if the change is about one.
    pub place: Option<EventPlace>,
}

impl AuditEvent {
    /// Returns the same event as one about a repository as a whole.
    #[must_use]
    pub fn in_repository(self, repository: Id) -> Self {
        Self { place: Some(EventPlace::of_repository(repository)), ..self }
    }
}

/// The repository that an event is about, and the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPlace {
    /// The id of the repository.
    pub repository: Id,
    /// The name of the image, if the event is about an image.
    pub image: Option<String>,
}

impl EventPlace {
    /// Returns the place of an event about a repository as a whole.
    pub fn of_repository(repository: Id) -> Self {
        Self { repository, image: None }
    }
}

/// Records an event.
pub fn insert(tx: &mut Tx<'_>, event: &AuditEvent) -> Result<(), MetaError> {
    let place = event.place.as_ref();
    tx.execute(
        "INSERT INTO events (id, action, principal, resource, tag, digest, occurred_at, way, repository_id, image)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            &Id::new(),
            event.action.as_str(),
            event.principal.as_str(),
            event.resource.as_str(),
            event.tag.as_deref(),
            event.digest.as_ref().map(Digest::as_str),
            event.occurred_at,
            event.way.as_str(),
            place.map(|place| &place.repository),
            place.and_then(|place| place.image.as_deref())
        ],
    )?;
    Ok(())
}

/// Makes a query for events.
macro_rules! select_event {
    ($rest:literal) => {
        concat!(
            "SELECT id, action, principal, resource, tag, digest, occurred_at, way, repository_id, image FROM events ",
            $rest
        )
    };
}
pub(crate) use select_event;

/// Reads an event with its id.
pub(crate) fn read_event(row: &SqlRow<'_>) -> Result<(Id, AuditEvent), MetaError> {
    let action = EventAction::parse(row.text_ref(1)?);
    let place = match row.opt_id(8)? {
        Some(repository) => Some(EventPlace { repository, image: row.opt_text(9)? }),
        None => None,
    };
    let event = AuditEvent {
        action: action.ok_or_else(|| MetaError::corrupt("the action of an event"))?,
        principal: row.text(2)?,
        resource: row.text(3)?,
        tag: row.opt_text(4)?,
        digest: opt_digest_at(row, 5)?,
        occurred_at: row.int(6)?,
        way: way_at(row, 7)?,
        place,
    };
    Ok((row.id(0)?, event))
}

/// Returns the events that were written after the event `last`, in their order and with their ids.
pub fn list_after(
    tx: &mut Tx<'_>,
    last: &Id,
    limit: i64,
) -> Result<Vec<(Id, AuditEvent)>, MetaError> {
    tx.query(select_event!("WHERE id > ?1 ORDER BY id LIMIT ?2"), params![last, limit], read_event)
}
