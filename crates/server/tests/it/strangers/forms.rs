//! Forms of the token endpoints, which anybody may send.

use std::time::Duration;

use berth_server::config::DurationSetting;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::util::{Backend, TestServer, with_deadline};

const ENDPOINTS: [&str; 4] = ["/token", "/introspect", "/revoke", "/v2/token"];

/// Sends the head of a form and a part of its body.
async fn begin_form(server: &TestServer, path: &str, (length, sent): (usize, usize)) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/x-www-form-urlencoded\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("open");
    let _ = stream.write_all(&vec![b'a'; sent]).await;
    stream
}

async fn read_status(stream: &mut TcpStream) -> String {
    let mut start = [0; 12];
    with_deadline(stream.read_exact(&mut start)).await.expect("an answer");
    String::from_utf8_lossy(&start).into_owned()
}

/// A form that never pauses and never ends is given up.
#[tokio::test]
async fn a_form_that_trickles_times_out() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.idle_timeout = "400ms".parse::<DurationSetting>().expect("a time");
    })
    .await;
    for path in ENDPOINTS {
        let (mut read, mut write) = begin_form(&server, path, (100_000, 1)).await.into_split();
        let trickle = tokio::spawn(async move {
            while write.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut start = [0; 12];
        with_deadline(read.read_exact(&mut start)).await.expect("an answer");
        assert_eq!(&start, b"HTTP/1.1 400", "{path}");
        trickle.abort();
    }
    server.wait_for_metrics("berth_http_connections 1").await;
}

/// If all forms together are too large, the oldest incomplete form is given up.
#[tokio::test]
async fn forms_share_one_memory() {
    let server = TestServer::start(Backend::Sqlite).await;
    let mut forms = Vec::new();
    for (path, _) in ENDPOINTS.into_iter().cycle().zip(0..130) {
        forms.push(begin_form(&server, path, (200_100, 200_000)).await);
    }
    assert_eq!(read_status(&mut forms[0]).await, "HTTP/1.1 503");
    let last = forms.last_mut().expect("some");
    last.write_all(&[b'a'; 100]).await.expect("open");
    assert!(read_status(last).await.starts_with("HTTP/1.1 4"), "received, and of no use");
}

/// A request's own memory is counted as well as its body.
#[tokio::test]
async fn many_forms_of_one_byte_are_limited() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.connections_per_network = 10_000;
    })
    .await;
    let mut forms = Vec::new();
    for _ in 0..3200 {
        forms.push(begin_form(&server, "/token", (1000, 1)).await);
    }
    assert_eq!(read_status(&mut forms[0]).await, "HTTP/1.1 503");
}
