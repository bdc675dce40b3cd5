//! Tags that stay, and do not, while pushes run: what a push is told agrees with when it was decided.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use meta::{packages, repositories};
use serde_json::json;

use super::tags::{SENTENCE, set_immutable};
use super::{R1, at, begin, push, tag};
use crate::util::accounts::PROJECT;
use crate::util::google::repository;
use crate::util::{Accounts, Google, Image, on_both};

/// What makes tags stay.
#[derive(Debug, Clone, Copy)]
enum Switch {
    /// The repository's setting.
    Setting,
    /// That there is no rule which lets them move.
    Rule,
}

impl Switch {
    async fn set(self, owner: &Google, stays: bool) {
        let allow = json!({ "action": "ALLOW", "operation": "TAG_MUTATION" });
        match (self, stays) {
            (Self::Setting, _) => set_immutable(owner, stays).await,
            (Self::Rule, true) => drop(owner.delete(&at("rules/moves")).await.expect(200)),
            (Self::Rule, false) => {
                drop(owner.post(&at("rules?ruleId=moves"), &allow).await.expect(200));
            }
        }
    }
}

/// How often the tag was moved so far.
async fn moves(meta: &meta::Meta) -> usize {
    let name = repository(PROJECT, R1).parse().expect("a name");
    let history = meta.read(move |tx| {
        let repository = repositories::find(tx, &name)?.expect("made").id;
        let package = packages::find(tx, &repository, "a")?.expect("pushed");
        meta::tags::history(tx, &package, "v1")
    });
    history.await.expect("readable").len()
}

async fn toggle(accounts: &Accounts, switch: Switch) {
    let owner = begin(accounts).await;
    let images: Vec<Image> = (0..3).map(Image::new).collect();
    for image in &images {
        push(owner, "a", "v1", image).await;
    }
    if let Switch::Rule = switch {
        Switch::Setting.set(owner, true).await;
        switch.set(owner, false).await;
    }
    let (meta, is_over) = (accounts.server.meta().await, AtomicBool::new(false));
    let pushes = images.iter().map(|image| async {
        let (mut accepted, mut refused) = (0, 0);
        while !is_over.load(Ordering::Relaxed) {
            let reply = tag(owner, "a", "v1", image).await;
            match reply.status.as_u16() {
                201 => accepted += 1,
                _ => {
                    assert_eq!(reply.status, 400, "{reply:#?}");
                    assert!(reply.text().contains(SENTENCE), "{reply:#?}");
                    refused += 1;
                }
            }
        }
        (accepted, refused)
    });
    let switching = async {
        for _ in 0..6 {
            switch.set(owner, true).await;
            let before = moves(&meta).await;
            // Those that had begun before are decided as well by then.
            let mut told = Vec::new();
            for image in images.iter().chain(&images) {
                told.push(tag(owner, "a", "v1", image).await.status.as_u16());
            }
            let refused = told.iter().filter(|status| **status == 400).count();
            assert_eq!(refused, 4, "of three, one is what the tag holds: {told:?}");
            assert_eq!(moves(&meta).await, before, "a tag moved while it had to stay");
            switch.set(owner, false).await;
            for image in &images {
                tag(owner, "a", "v1", image).await.expect(201);
            }
            assert!(moves(&meta).await > before);
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (outcomes, ()) = join(join_all(pushes), switching).await;
    let sum = outcomes.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(sum.0 > 0 && sum.1 > 0, "{switch:?}: {sum:?}");
}

on_both![the_setting_under_load, a_rule_that_comes_and_goes_under_load];

async fn the_setting_under_load(accounts: Accounts) {
    toggle(&accounts, Switch::Setting).await;
}

async fn a_rule_that_comes_and_goes_under_load(accounts: Accounts) {
    toggle(&accounts, Switch::Rule).await;
}
