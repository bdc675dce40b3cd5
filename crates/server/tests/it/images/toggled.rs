//! Tag immutability that is switched while pushes run: the answer of each push agrees with the setting at its time.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use meta::{packages, repositories};
use serde_json::json;

use super::{R1, api_path, push_image, put_tag, set_immutable, set_up_repository};
use crate::util::accounts::PROJECT;
use crate::util::google::{IMMUTABLE_SENTENCE, repository_name};
use crate::util::{AccountServer, GoogleClient, Image, on_both};

/// The ways in which tags become immutable.
#[derive(Debug, Clone, Copy)]
enum TagSwitch {
    /// The setting of the repository.
    Setting,
    /// The absence of a rule that allows moves.
    Rule,
}

impl TagSwitch {
    async fn switch_to(self, owner: &GoogleClient, stays: bool) {
        let allow = json!({ "action": "ALLOW", "operation": "TAG_MUTATION" });
        match (self, stays) {
            (Self::Setting, _) => set_immutable(owner, stays).await,
            (Self::Rule, true) => {
                drop(owner.delete(&api_path("rules/moves")).await.expect_status(200))
            }
            (Self::Rule, false) => {
                drop(owner.post(&api_path("rules?ruleId=moves"), &allow).await.expect_status(200));
            }
        }
    }
}

/// The number of moves of the tag so far.
async fn count_moves(meta: &meta::Meta) -> usize {
    let name = repository_name(PROJECT, R1).parse().expect("a name");
    let history = meta.read(move |tx| {
        let repository = repositories::find(tx, &name)?.expect("made").id;
        let package = packages::find(tx, &repository, "a")?.expect("pushed");
        meta::tags::list_changes(tx, &package, "v1")
    });
    history.await.expect("readable").len()
}

async fn push_while_toggling(accounts: &AccountServer, switch: TagSwitch) {
    let owner = set_up_repository(accounts).await;
    let images: Vec<Image> = (0..3).map(Image::new).collect();
    for image in &images {
        push_image(owner, "a", "v1", image).await;
    }
    if let TagSwitch::Rule = switch {
        TagSwitch::Setting.switch_to(owner, true).await;
        switch.switch_to(owner, false).await;
    }
    let (meta, is_over) = (accounts.server.open_meta().await, AtomicBool::new(false));
    let pushes = images.iter().map(|image| async {
        let (mut accepted, mut refused) = (0, 0);
        while !is_over.load(Ordering::Relaxed) {
            let reply = put_tag(owner, "a", "v1", image).await;
            match reply.status.as_u16() {
                201 => accepted += 1,
                _ => {
                    assert_eq!(reply.status, 400, "{reply:#?}");
                    assert!(reply.text().contains(IMMUTABLE_SENTENCE), "{reply:#?}");
                    refused += 1;
                }
            }
        }
        (accepted, refused)
    });
    let switching = async {
        for _ in 0..6 {
            switch.switch_to(owner, true).await;
            let before = count_moves(&meta).await;
            // Pushes that began before the switch are decided by then, too.
            let mut told = Vec::new();
            for image in images.iter().chain(&images) {
                told.push(put_tag(owner, "a", "v1", image).await.status.as_u16());
            }
            let refused = told.iter().filter(|status| **status == 400).count();
            assert_eq!(refused, 4, "of three, one is what the tag holds: {told:?}");
            assert_eq!(count_moves(&meta).await, before, "a tag moved while it had to stay");
            switch.switch_to(owner, false).await;
            for image in &images {
                put_tag(owner, "a", "v1", image).await.expect_status(201);
            }
            assert!(count_moves(&meta).await > before);
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (outcomes, ()) = join(join_all(pushes), switching).await;
    let sum = outcomes.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(sum.0 > 0 && sum.1 > 0, "{switch:?}: {sum:?}");
}

on_both![pushes_agree_with_a_setting_that_is_toggled, pushes_agree_with_a_rule_that_is_toggled];

async fn pushes_agree_with_a_setting_that_is_toggled(accounts: AccountServer) {
    push_while_toggling(&accounts, TagSwitch::Setting).await;
}

async fn pushes_agree_with_a_rule_that_is_toggled(accounts: AccountServer) {
    push_while_toggling(&accounts, TagSwitch::Rule).await;
}
