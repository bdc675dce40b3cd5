//! The functions of the tables about people: they read back the rows that they wrote.

use super::{NOW, TestDatabase, on_each};
use crate::given_roles::GivenRole;
use crate::sessions::SessionRow;
use crate::users::{PasswordLinkRow, UserRow};
use crate::{Id, MetaError, Tx, given_roles, sessions, users};

fn user(email: &str) -> UserRow {
    let id = Id::new();
    UserRow {
        id,
        issuer: "local".to_owned(),
        subject: id.to_string(),
        email: email.to_owned(),
        display_name: "A".to_owned(),
        disabled: false,
        password_hash: None,
        created_at: NOW,
    }
}

fn add_user(tx: &mut Tx<'_>, email: &str) -> Result<Id, MetaError> {
    let row = user(email);
    assert!(users::insert(tx, &row)?);
    Ok(row.id)
}

fn add_session(tx: &mut Tx<'_>, user: &Id, number: u8) -> Result<SessionRow, MetaError> {
    let row = SessionRow {
        id: Id::new(),
        user_id: *user,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: NOW + 100,
        address: (number == 1).then(|| "192.0.2.1".to_owned()),
        agent: "a browser".to_owned(),
    };
    sessions::insert(tx, &[number; 32], &row)?;
    Ok(row)
}

on_each! {
    async fn a_person_has_one_address(db: &TestDatabase) {
        db.write(|tx| {
            let first = user("a@example.com");
            assert!(users::insert(tx, &first)?);
            assert!(!users::insert(tx, &user("a@example.com"))?);
            let second = add_user(tx, "b@example.com")?;
            assert!(users::find(tx, "a@example.com")?.expect("stored") == first);
            assert!(users::find(tx, "A@example.com")?.is_none());
            assert_eq!(users::set_disabled(tx, &second, true, NOW)?, 1);
            assert_eq!(users::set_password_hash(tx, &second, "$x", NOW)?, 1);
            assert_eq!(users::set_password_hash(tx, &Id::new(), "$x", NOW)?, 0);
            let changed = users::find_by_id(tx, &second)?.expect("stored");
            assert_eq!((changed.disabled, changed.password_hash.as_deref()), (true, Some("$x")));
            let page = |tx: &mut Tx<'_>, last: &str| {
                let rows = users::list(tx, last, 1)?;
                Ok::<_, MetaError>(rows.into_iter().map(|row| row.email).collect::<Vec<_>>())
            };
            assert_eq!(page(tx, "")?, ["a@example.com"]);
            assert_eq!(page(tx, "a@example.com")?, ["b@example.com"]);
            assert!(page(tx, "b@example.com")?.is_empty());
            Ok(())
        }).await;
    }

    async fn a_person_has_one_link(db: &TestDatabase) {
        db.write(|tx| {
            let first = add_user(tx, "a@example.com")?;
            let second = add_user(tx, "b@example.com")?;
            let link = PasswordLinkRow { user_id: first, expires_at: NOW };
            users::set_link(tx, &[1; 32], &link)?;
            assert_eq!(users::find_link(tx, &[1; 32])?, Some(link.clone()));
            let later = PasswordLinkRow { expires_at: NOW + 1, ..link };
            users::set_link(tx, &[2; 32], &later)?;
            assert_eq!(users::find_link(tx, &[1; 32])?, None, "the new link is in its place");
            users::set_link(tx, &[3; 32], &PasswordLinkRow { user_id: second, expires_at: NOW })?;
            assert_eq!(users::delete_expired_links(tx, NOW)?, 1);
            assert_eq!(users::find_link(tx, &[3; 32])?, None);
            assert_eq!(users::find_link(tx, &[2; 32])?, Some(later));
            assert_eq!(users::delete_link(tx, &first)?, 1);
            assert_eq!(users::delete_link(tx, &first)?, 0);
            Ok(())
        }).await;
    }

    async fn sessions_end_one_by_one_and_all_at_once(db: &TestDatabase) {
        db.write(|tx| {
            let person = add_user(tx, "a@example.com")?;
            let other = add_user(tx, "b@example.com")?;
            let first = add_session(tx, &person, 1)?;
            let second = add_session(tx, &person, 2)?;
            let foreign = add_session(tx, &other, 3)?;
            assert_eq!(sessions::find_by_secret(tx, &[1; 32])?, Some(first.clone()));
            assert_eq!(sessions::find_by_secret(tx, &[9; 32])?, None);
            assert_eq!(sessions::list(tx, &person, 10)?, [first.clone(), second.clone()]);
            assert_eq!(sessions::delete(tx, &person, &foreign.id)?, 0, "it is of another person");
            assert_eq!(sessions::delete_all(tx, &person, Some(&second.id))?, 1);
            assert!(!sessions::exists(tx, &first.id)? && sessions::exists(tx, &second.id)?);
            assert_eq!(sessions::delete(tx, &person, &second.id)?, 1);
            assert_eq!(sessions::delete_all(tx, &person, None)?, 0);
            assert!(sessions::exists(tx, &foreign.id)?);
            Ok(())
        }).await;
    }

    async fn sessions_that_ended_by_themselves_are_deleted(db: &TestDatabase) {
        db.write(|tx| {
            let person = add_user(tx, "a@example.com")?;
            let unused = add_session(tx, &person, 1)?;
            let used = add_session(tx, &person, 2)?;
            assert_eq!(sessions::record_use(tx, &used.id, NOW + 50)?, 1);
            assert_eq!(sessions::record_use(tx, &used.id, NOW + 40)?, 0, "a later use is known");
            assert_eq!(sessions::delete_ended(tx, NOW + 60, NOW - 1)?, 0);
            assert_eq!(sessions::delete_ended(tx, NOW + 60, NOW)?, 1);
            assert!(!sessions::exists(tx, &unused.id)?);
            assert_eq!(sessions::delete_ended(tx, NOW + 100, NOW)?, 1);
            assert_eq!(sessions::record_use(tx, &used.id, NOW + 100)?, 0);
            Ok(())
        }).await;
    }

    async fn roles_of_the_settings_are_recorded_once(db: &TestDatabase) {
        db.write(|tx| {
            let given = |role: &str| GivenRole { member: "user:a@example.com".to_owned(), role: role.to_owned() };
            for role in ["roles/b", "roles/a", "roles/b"] {
                given_roles::insert(tx, &given(role), NOW)?;
            }
            assert_eq!(given_roles::list(tx)?, [given("roles/a"), given("roles/b")]);
            assert_eq!(given_roles::delete(tx, &given("roles/a"))?, 1);
            assert_eq!(given_roles::delete(tx, &given("roles/a"))?, 0);
            assert_eq!(given_roles::list(tx)?, [given("roles/b")]);
            Ok(())
        }).await;
    }
}
