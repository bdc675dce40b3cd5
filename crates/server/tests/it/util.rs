//! Servers, clients and images for tests.

pub(crate) mod accounts;
pub(crate) mod begun;
pub(crate) mod callers;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod fronts;
pub(crate) mod google;
pub(crate) mod image;
pub(crate) mod kept;
pub(crate) mod key;
pub(crate) mod lying_upstream;
pub(crate) mod numbers;
pub(crate) mod people;
pub(crate) mod process;
pub(crate) mod receiver;
pub(crate) mod routes;
pub(crate) mod scripted_upstream;
pub(crate) mod server;
pub(crate) mod wire;

pub(crate) use accounts::AccountServer;
pub(crate) use begun::PendingRequest;
pub(crate) use client::{Client, Reply};
pub(crate) use google::GoogleClient;
pub(crate) use image::{
    Image, blob_path, descriptor_of, digest_of, index_of, manifest_path, random_bytes,
};
pub(crate) use key::AccountKey;
pub(crate) use lying_upstream::{LyingUpstream, RawAnswer};
pub(crate) use receiver::{Receiver, ReceiverAnswer};
pub(crate) use scripted_upstream::{ScriptedUpstream, UpstreamAnswer};
pub(crate) use server::{Backend, TestServer, wait_for_metrics};

/// A server, or a database for one, that a test takes as its argument.
pub(crate) trait StartOn {
    async fn start(backend: Backend) -> Self;
}

/// Starts the server that the test takes, and runs the test.
pub(crate) async fn run_on<S: StartOn, Running: Future<Output = ()>>(
    backend: Backend,
    test: impl FnOnce(S) -> Running,
) {
    test(S::start(backend).await).await;
}

/// Makes two tests of each of these functions: one on SQLite, in the module `sqlite`, and one on PostgreSQL, in the
/// module `postgres`. A function takes a [`TestServer`], an [`AccountServer`] or a [`Backend`]. A function that is
/// missing in the list does not compile, because nothing uses it.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    $crate::util::run_on($crate::util::Backend::Sqlite, super::$name).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    match $crate::util::Backend::postgres().await {
                        Some(backend) => $crate::util::run_on(backend, super::$name).await,
                        None => println!("SKIPPED: TEST_POSTGRES_URL is not set"),
                    }
                }
            )*
        }
    };
}
pub(crate) use on_both;

/// Waits for at most a minute, so that a test fails and does not hang.
pub(crate) async fn with_deadline<T>(future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), future).await;
    waited.expect("it ends")
}

/// The number of rounds of a test that repeats itself: that of the variable `TEST_ROUNDS`, which makes a long run, or the
/// usual one.
pub(crate) fn test_rounds(usual: usize) -> usize {
    std::env::var("TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// The path of the next page, from an answer's `Link` header.
pub(crate) fn next_page(reply: &Reply) -> Option<String> {
    let (path, rest) = reply.header("link").strip_prefix('<')?.split_once('>')?;
    assert_eq!(rest, "; rel=\"next\"");
    Some(path.to_owned())
}
