//! Processes that send messages to a receiver and are killed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use super::{IMAGE, notified_tags};
use crate::util::process::{BerthProcess, berth_command};
use crate::util::{Backend, Image, Receiver, ReceiverAnswer, with_deadline};

/// Starts a process that sends messages to the receiver.
async fn start_with_webhook(data: &Path, database: &Backend, receiver: &Receiver) -> BerthProcess {
    let mut command = berth_command(&["serve", "--dev"]);
    if let Backend::Postgres(url) = database {
        command.args(["--database", url]);
    }
    let webhook = format!("[{{ name = \"w\", url = \"http://{}/\" }}]", receiver.address);
    BerthProcess::spawn(data, command.env("BERTH_NOTIFICATIONS", webhook).stderr(Stdio::null()))
        .await
}

async fn push_image(berth: &BerthProcess, seed: u64) {
    Image::new(seed).push(&berth.client, (IMAGE, &seed.to_string())).await;
}

/// The process is killed after it answered the pushes and before the receiver took a message.
#[tokio::test]
async fn messages_of_a_killed_process_are_sent_later() {
    let databases = [Some(Backend::Sqlite), Backend::postgres().await];
    for database in databases.into_iter().flatten() {
        let receiver = Receiver::start().await;
        receiver.set_answer(ReceiverAnswer::Status(503));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut berth = start_with_webhook(folder.path(), &database, &receiver).await;
        for seed in 1..=3 {
            push_image(&berth, seed).await;
        }
        berth.kill();
        receiver.set_answer(ReceiverAnswer::Take);
        let _next = start_with_webhook(folder.path(), &database, &receiver).await;
        assert_eq!(notified_tags(&receiver.wait_for_taken(3).await), ["1", "2", "3"]);
    }
}

/// One process sends the messages. When it is killed, the other one does. A message may come twice, and none is lost.
#[tokio::test]
async fn two_processes_send_every_message() {
    const IMAGES: u64 = 20;
    let Some(database) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut processes = vec![
        start_with_webhook(folder.path(), &database, &receiver).await,
        start_with_webhook(folder.path(), &database, &receiver).await,
    ];
    for seed in 1..=IMAGES / 2 {
        push_image(&processes[seed as usize % 2], seed).await;
    }
    receiver.wait_for_taken(3).await;
    processes.remove(0).kill();
    for seed in IMAGES / 2 + 1..=IMAGES {
        push_image(&processes[0], seed).await;
    }
    let all: BTreeSet<_> = (1..=IMAGES).map(|seed| seed.to_string()).collect();
    let told = async {
        let mut count = IMAGES as usize;
        loop {
            let taken = receiver.wait_for_taken(count).await;
            if notified_tags(&taken).into_iter().collect::<BTreeSet<_>>() == all {
                return;
            }
            count = taken.len() + 1;
        }
    };
    with_deadline(told).await;
}
