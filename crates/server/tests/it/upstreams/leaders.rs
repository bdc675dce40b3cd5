//! Fetches of a large blob whose leader is lost, at several points of the blob: the client that began the fetch, the
//! connection to the upstream, or the process. Readers that started at each point get every byte.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cold::ColdLayer;
use super::remote::{RemoteTest, remote_body};
use crate::util::accounts::repositories_path;
use crate::util::client::OpenReply;
use crate::util::process::{BerthProcess, quiet_berth};
use crate::util::{
    Backend, Client, Image, Reply, ScriptedUpstream, UpstreamAnswer, blob_path, digest_of,
    manifest_path, on_both, random_bytes,
};

on_both![
    readers_go_on_when_the_client_that_began_leaves,
    readers_go_on_when_the_upstream_breaks_off,
    readers_go_on_when_the_process_that_fetches_is_killed
];

/// The points at which a leader is lost, in percent of the blob.
const POINTS: [usize; 3] = [10, 50, 99];
/// The size of a blob. One percent of it is more than the bytes that wait for its digest.
const SIZE: usize = 8 << 20;

fn at(percent: usize) -> usize {
    SIZE * percent / 100
}

/// The value of `Range` for some bytes.
fn range_header(range: &Range<usize>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

/// The ranges that readers want who start when a fetch has come to `point`: before it, across it, after it, and the end
/// of a blob of `size` bytes.
fn ranges(point: usize, size: usize) -> [Range<usize>; 4] {
    [0..1000, point - 500..point + 500, point..size, size - 1000..size]
}

/// Lets the upstream send so much of a layer as the test says.
fn pace(upstream: &ScriptedUpstream, (path, layer): (&str, &Bytes)) -> watch::Sender<usize> {
    pace_with_breaks(upstream, (path, layer), &[])
}

fn pace_with_breaks(
    upstream: &ScriptedUpstream,
    (path, layer): (&str, &Bytes),
    breaks: &[usize],
) -> watch::Sender<usize> {
    let (allow, allowed) = watch::channel(0);
    let (bytes, breaks) = (layer.clone(), breaks.to_vec());
    upstream.set(path, UpstreamAnswer::Paced { bytes, allowed, breaks });
    allow
}

/// The readers of one blob, which have begun and not read yet.
#[derive(Default)]
struct OpenReaders(Vec<(OpenReply, Range<usize>)>);

impl OpenReaders {
    /// Starts readers of all of the blob and of parts of it.
    async fn start(&mut self, cold: &ColdLayer<'_>, point: usize) {
        self.0.push((cold.open().await, 0..cold.layer.len()));
        for range in ranges(point, cold.layer.len()) {
            self.0.push((cold.open_range(&range_header(&range)).await, range));
        }
    }

    async fn expect_all(self, layer: &[u8]) {
        for (mut reply, range) in self.0 {
            let wanted = &layer[range.clone()];
            assert_eq!(reply.expect_bytes(wanted).await, wanted.len(), "{range:?}");
            assert!(reply.next().await.is_none(), "{range:?}");
        }
    }
}

async fn readers_go_on_when_the_client_that_began_leaves(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    for (number, percent) in POINTS.into_iter().enumerate() {
        let cold = ColdLayer::add(&test, SIZE + number).await;
        let allow = pace(&test.upstream, (&cold.at_upstream, &cold.layer));
        let (mut leader, mut read) = (Some(cold.open().await), 0);
        let mut readers = OpenReaders::default();
        for point in POINTS.map(at) {
            allow.send_replace(point);
            if let Some(leader) = &mut leader {
                read += leader.expect_bytes(&cold.layer[read..point]).await;
                assert_eq!(read, point);
            }
            readers.start(&cold, point).await;
            leader = leader.filter(|_| point < at(percent));
        }
        allow.send_replace(cold.layer.len());
        readers.expect_all(&cold.layer).await;
        cold.expect_whole().await;
        assert_eq!(cold.count_fetches(), 1, "{percent} %");
    }
}

async fn readers_go_on_when_the_upstream_breaks_off(backend: Backend) {
    let test = RemoteTest::start(backend).await;
    let cold = ColdLayer::add(&test, SIZE).await;
    let breaks = POINTS.map(at);
    let allow = pace_with_breaks(&test.upstream, (&cold.at_upstream, &cold.layer), &breaks);
    let (mut first, mut read) = (cold.open().await, 0);
    let mut readers = OpenReaders::default();
    for point in breaks {
        allow.send_replace(point);
        read += first.expect_bytes(&cold.layer[read..point]).await;
        assert_eq!(read, point);
        readers.start(&cold, point).await;
    }
    allow.send_replace(SIZE);
    assert_eq!(first.expect_bytes(&cold.layer[read..]).await, SIZE - read);
    readers.expect_all(&cold.layer).await;
    cold.expect_whole().await;
    let asked = test.upstream.asked().into_iter();
    let asked = asked.filter(|asked| asked.line == format!("GET {}", cold.at_upstream));
    let wanted: Vec<_> = asked.map(|asked| asked.headers.get("range").cloned()).collect();
    let expected: Vec<_> = std::iter::once(None)
        .chain(breaks.map(|at| Some(format!("bytes={at}-").parse().expect("a value"))))
        .collect();
    assert_eq!(wanted, expected);
}

/// A blob that a process fetches, and that has come to one of the points.
struct LedBlob {
    layer: Bytes,
    /// The line of the request for it at the upstream.
    line: String,
    path: String,
    point: usize,
    allow: watch::Sender<usize>,
    /// What keeps the fetch going at the process.
    leading: OpenReply,
}

impl LedBlob {
    /// Has the process fetch a new blob up to a point.
    async fn begin(upstream: &ScriptedUpstream, client: &Client, percent: usize) -> Self {
        let name = format!("app{percent}");
        let image = Image::of_layer(random_bytes(SIZE, percent as u64));
        upstream.serve(&image, (&name, "1"));
        let (layer, image_name) = (image.blobs[1].clone(), format!("p/remote/{name}"));
        let at_upstream = blob_path(&name, digest_of(&layer));
        let allow = pace(upstream, (&at_upstream, &layer));
        client.get(&manifest_path(&image_name, "1")).await.expect_status(200);
        let path = blob_path(&image_name, digest_of(&layer));
        let point = at(percent);
        allow.send_replace(point);
        let mut leading = client.open(&path).await;
        assert_eq!(leading.expect_bytes(&layer[..point]).await, point);
        let line = format!("GET {at_upstream}");
        Self { layer, line, path, point, allow, leading }
    }

    /// Starts readers at a process, which may have to wait for the fetch of another one.
    fn start_readers(&self, client: &Client) -> Vec<JoinHandle<(Reply, Range<usize>)>> {
        let whole = std::iter::once(0..SIZE);
        let all = whole.chain(ranges(self.point, SIZE)).map(|range| {
            let (client, path) = (client.clone(), self.path.clone());
            tokio::spawn(async move {
                let header = range_header(&range);
                let client = match range.len() {
                    SIZE => client,
                    _ => client.with_header("range", &header),
                };
                (client.get(&path).await, range)
            })
        });
        all.collect()
    }

    async fn expect_read(&self, readers: Vec<JoinHandle<(Reply, Range<usize>)>>) {
        for reader in join_all(readers).await {
            let (reply, range) = reader.expect("no panic");
            let status = if range.len() == SIZE { 200 } else { 206 };
            assert_eq!(reply.expect_status(status).body, self.layer[range.clone()], "{range:?}");
        }
    }
}

async fn start_process(data: &Path, database: &Backend) -> BerthProcess {
    let settings = data.with_extension("toml");
    std::fs::write(&settings, "[egress]\nallow = [\"127.0.0.0/8\"]\n").expect("written");
    let mut command = quiet_berth(&["serve", "--dev", "--config"]);
    command.arg(&settings);
    if let Backend::Postgres(url) = database {
        command.args(["--database", url]);
    }
    BerthProcess::spawn(data, &mut command).await
}

async fn start_first_process(
    data: &Path,
    database: &Backend,
    upstream: &ScriptedUpstream,
) -> BerthProcess {
    let first = start_process(data, database).await;
    let path = format!("{}?repositoryId=remote", repositories_path("p"));
    let body = remote_body(&upstream.url()).to_string();
    first.client.post(&path, body).await.expect_status(200);
    first
}

/// On PostgreSQL another process waits for the fetches meanwhile. On SQLite the process starts again.
async fn readers_go_on_when_the_process_that_fetches_is_killed(database: Backend) {
    let (folder, upstream) =
        (tempfile::tempdir().expect("a folder"), ScriptedUpstream::start().await);
    let data = folder.path().join("data");
    let mut first = start_first_process(&data, &database, &upstream).await;
    let mut led = Vec::new();
    for percent in POINTS {
        led.push(LedBlob::begin(&upstream, &first.client, percent).await);
    }
    let mut second = None;
    if let Backend::Postgres(_) = database {
        second = Some(start_process(&data, &database).await);
    }
    let waiting: Vec<_> = match &second {
        Some(second) => led.iter().map(|blob| blob.start_readers(&second.client)).collect(),
        None => Vec::new(),
    };
    first.kill();
    let second = match second {
        Some(second) => second,
        None => start_process(&data, &database).await,
    };
    for blob in &led {
        blob.allow.send_replace(SIZE);
    }
    for (blob, readers) in led.iter().zip(waiting) {
        blob.expect_read(readers).await;
    }
    for blob in &mut led {
        assert!(blob.leading.next().await.is_none(), "the connection ended with the process");
        blob.expect_read(blob.start_readers(&second.client)).await;
        assert_eq!(upstream.count(&blob.line), 2);
    }
}

/// Two processes on one database fetch a blob once.
#[tokio::test]
async fn processes_fetch_once() {
    let Some(database) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let (folder, upstream) =
        (tempfile::tempdir().expect("a folder"), ScriptedUpstream::start().await);
    let data = folder.path().join("data");
    let first = start_first_process(&data, &database, &upstream).await;
    let second = start_process(&data, &database).await;
    let mut blob = LedBlob::begin(&upstream, &first.client, 50).await;
    let readers = blob.start_readers(&second.client);
    blob.allow.send_replace(SIZE);
    let rest = &blob.layer[blob.point..];
    assert_eq!(blob.leading.expect_bytes(rest).await, rest.len());
    blob.expect_read(readers).await;
    assert_eq!(upstream.count(&blob.line), 1);
}
