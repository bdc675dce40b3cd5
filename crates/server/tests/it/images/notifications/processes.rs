//! Processes that tell a receiver, and die.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use super::{IMAGE, tags};
use crate::util::process::{Berth, berth};
use crate::util::{Answer, Backend, Image, Receiver, bounded};

/// A process that tells the receiver.
async fn start(data: &Path, database: &Backend, receiver: &Receiver) -> Berth {
    let mut command = berth(&["serve", "--dev"]);
    if let Backend::Postgres(url) = database {
        command.args(["--database", url]);
    }
    let webhook = format!("[{{ name = \"w\", url = \"http://{}/\" }}]", receiver.address);
    Berth::spawn(data, command.env("BERTH_NOTIFICATIONS", webhook).stderr(Stdio::null())).await
}

async fn push(berth: &Berth, seed: u64) {
    Image::new(seed).push(&berth.client, (IMAGE, &seed.to_string())).await;
}

/// Killed after it answered the pushes, and before anybody was told.
#[tokio::test]
async fn what_was_pushed_before_a_kill_is_told_after_it() {
    let databases = [Some(Backend::Sqlite), Backend::postgres().await];
    for database in databases.into_iter().flatten() {
        let receiver = Receiver::start().await;
        receiver.answer(Answer::Status(503));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut berth = start(folder.path(), &database, &receiver).await;
        for seed in 1..=3 {
            push(&berth, seed).await;
        }
        berth.kill();
        receiver.answer(Answer::Take);
        let _next = start(folder.path(), &database, &receiver).await;
        assert_eq!(tags(&receiver.taken(3).await), ["1", "2", "3"]);
    }
}

/// One of them tells; when it is killed, the other one does. Something may be told twice, nothing is not told.
#[tokio::test]
async fn two_processes_tell_everything() {
    const IMAGES: u64 = 20;
    let Some(database) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut processes = vec![
        start(folder.path(), &database, &receiver).await,
        start(folder.path(), &database, &receiver).await,
    ];
    for seed in 1..=IMAGES / 2 {
        push(&processes[seed as usize % 2], seed).await;
    }
    receiver.taken(3).await;
    processes.remove(0).kill();
    for seed in IMAGES / 2 + 1..=IMAGES {
        push(&processes[0], seed).await;
    }
    let all: BTreeSet<_> = (1..=IMAGES).map(|seed| seed.to_string()).collect();
    let told = async {
        let mut count = IMAGES as usize;
        loop {
            let taken = receiver.taken(count).await;
            if tags(&taken).into_iter().collect::<BTreeSet<_>>() == all {
                return;
            }
            count = taken.len() + 1;
        }
    };
    bounded(told).await;
}
