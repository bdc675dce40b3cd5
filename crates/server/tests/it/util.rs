//! Servers, clients and images for tests.

pub(crate) mod client;
pub(crate) mod image;
pub(crate) mod process;
pub(crate) mod server;

pub(crate) use client::{Client, Reply};
pub(crate) use image::{Image, digest_of, random_bytes};
pub(crate) use server::{Backend, TestServer, wait_for_metrics};

/// Makes of `async fn name(server: TestServer)` one test on each database.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($server:ident: $type:ty) $body:block)*) => {
        $(
            $(#[$meta])*
            async fn $name($server: $type) $body
        )*
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let server = $crate::util::TestServer::start($crate::util::Backend::Sqlite).await;
                    super::$name(server).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    match $crate::util::Backend::postgres().await {
                        Some(backend) => {
                            super::$name($crate::util::TestServer::start(backend).await).await;
                        }
                        None => println!("SKIPPED: TEST_POSTGRES_URL is not set"),
                    }
                }
            )*
        }
    };
}
pub(crate) use on_both;

/// Waits, but not for ever: a test shall fail and not hang.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), future).await;
    waited.expect("it ends")
}

/// The path that an answer's `Link` header gives for the next page.
pub(crate) fn next_page(reply: &Reply) -> Option<String> {
    let (path, rest) = reply.header("link").strip_prefix('<')?.split_once('>')?;
    assert_eq!(rest, "; rel=\"next\"");
    Some(path.to_owned())
}
