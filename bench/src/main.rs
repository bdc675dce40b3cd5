//! Puts a registry under load and measures it from outside. Every registry gets the same bytes over plain sockets, so
//! that only the registries differ. Each command prints lines of `name value`.

mod http;
mod proxy;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use http::Connection;
use model::digest::{Digest, DigestAlgorithm, DigestHasher};

const MEBIBYTE: usize = 1 << 20;
const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Measures a registry on HOST:PORT.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a file, hash it and call fdatasync, without a registry. No registry can be faster.
    Disk { folder: PathBuf, mebibytes: usize },
    /// Push one blob (POST, PATCH, PUT), then pull it twice. PID is the process of the registry.
    Blob { address: String, pid: u32, mebibytes: usize },
    /// Push an image as IMAGE:latest, for other commands to read. This measures nothing.
    Image { address: String, image: String },
    /// Write tags of IMAGE one after the other for some seconds.
    Tags { address: String, image: String, seconds: u64 },
    /// Push several blobs at the same time.
    Uploads { address: String, count: u64, mebibytes: usize },
    /// Create, get, list and delete tags by Google's API for some seconds, one call after the other. PACKAGE is the
    /// resource name of an image, and DIGEST is one of its manifests.
    Calls { address: String, package: String, digest: String, seconds: u64 },
    /// Send GET requests for one path, one after the other.
    Latency { address: String, path: String, requests: usize },
    /// Be a proxy on LISTEN before UPSTREAM, which passes on so many MEGABYTES a second for each connection.
    Proxy { listen: String, upstream: String, megabytes: u64 },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Disk { folder, mebibytes } => measure_disk(&folder, mebibytes),
        Command::Blob { address, pid, mebibytes } => measure_blob(&address, pid, mebibytes),
        Command::Image { address, image } => push_image(&address, &image).map(|_| ()),
        Command::Tags { address, image, seconds } => measure_tags(&address, &image, seconds),
        Command::Uploads { address, count, mebibytes } => {
            measure_uploads(&address, count, mebibytes)
        }
        Command::Calls { address, package, digest, seconds } => {
            measure_calls(&address, &package, &digest, seconds)
        }
        Command::Latency { address, path, requests } => measure_latency(&address, &path, requests),
        Command::Proxy { listen, upstream, megabytes } => {
            proxy::serve(&listen, &upstream, megabytes)
        }
    }
}

fn print(name: &str, value: f64) {
    // An error is ignored: if the pipe is closed, the script that reads the lines has ended.
    let _ = writeln!(std::io::stdout(), "{name} {value:.3}");
}

/// Content of some MiB that depends on a seed: one MiB of noise again and again, each with a number at its start.
struct NoiseContent {
    block: Vec<u8>,
    mebibytes: usize,
}

impl NoiseContent {
    fn new(seed: u64, mebibytes: usize) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut block = Vec::with_capacity(MEBIBYTE);
        while block.len() < MEBIBYTE {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        Self { block, mebibytes }
    }

    fn for_each_block(&mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for number in 0..self.mebibytes {
            self.block[..8].copy_from_slice(&(number as u64).to_le_bytes());
            take(&self.block)?;
        }
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest> {
        let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
        self.for_each_block(|block| {
            hasher.update(block);
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    fn length(&self) -> usize {
        self.mebibytes * MEBIBYTE
    }
}

/// Returns a random seed, so that no two runs push the same content.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

fn measure_disk(folder: &Path, mebibytes: usize) -> Result<()> {
    let path = folder.join("bench-disk");
    let mut content = NoiseContent::new(random_seed(), mebibytes);
    let started = Instant::now();
    let mut file = File::create(&path)?;
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    content.for_each_block(|block| {
        hasher.update(block);
        Ok(file.write_all(block)?)
    })?;
    file.sync_data()?;
    hasher.finish();
    print("disk_mb_s", content.length() as f64 / 1e6 / started.elapsed().as_secs_f64());
    Ok(std::fs::remove_file(path)?)
}

/// Hashes and pushes a blob, by the requests that docker sends: POST, PATCH and PUT.
fn push_blob(
    connection: &mut Connection,
    image: &str,
    content: &mut NoiseContent,
) -> Result<Digest> {
    let digest = content.digest()?;
    push_hashed_blob(connection, image, content, &digest)?;
    Ok(digest)
}

fn push_hashed_blob(
    connection: &mut Connection,
    image: &str,
    content: &mut NoiseContent,
    digest: &Digest,
) -> Result<()> {
    let post = connection.request("POST", &format!("/v2/{image}/blobs/uploads/"), &[], b"")?;
    ensure!(post.status == 202, "POST: {}", post.status);
    connection.send_head("PATCH", &post.location()?, &[], content.length())?;
    content.for_each_block(|block| connection.send(block))?;
    let patch = connection.read_response()?;
    ensure!(patch.status == 202, "PATCH: {}", patch.status);
    let location = patch.location()?;
    let separator = if location.contains('?') { '&' } else { '?' };
    let put =
        connection.request("PUT", &format!("{location}{separator}digest={digest}"), &[], b"")?;
    ensure!(put.status == 201, "PUT: {}", put.status);
    Ok(())
}

/// Returns the processor time that a process has used, in seconds.
fn cpu_seconds(pid: u32) -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .context("the process is not running")?;
    let (_, fields) = stat.rsplit_once(')').context("the state of the process cannot be read")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

fn measure_blob(address: &str, pid: u32, mebibytes: usize) -> Result<()> {
    let mut content = NoiseContent::new(random_seed(), mebibytes);
    let digest = content.digest()?;
    let megabytes = content.length() as f64 / 1e6;
    let gibibytes = mebibytes as f64 / 1024.0;
    let mut connection = Connection::open(address)?;
    let (started, cpu) = (Instant::now(), cpu_seconds(pid)?);
    let client_cpu = cpu_seconds(std::process::id())?;
    push_hashed_blob(&mut connection, "bench/blobs/image", &mut content, &digest)?;
    print("push_mb_s", megabytes / started.elapsed().as_secs_f64());
    print("push_cpu_s_gib", (cpu_seconds(pid)? - cpu) / gibibytes);
    print("push_client_cpu_s_gib", (cpu_seconds(std::process::id())? - client_cpu) / gibibytes);
    // Only the second pull is printed: the first one has brought the blob into the page cache, at every registry.
    for warm in [false, true] {
        let (started, cpu) = (Instant::now(), cpu_seconds(pid)?);
        let length = connection.download(&format!("/v2/bench/blobs/image/blobs/{digest}"))?;
        ensure!(length == content.length() as u64, "GET: {length} bytes");
        if warm {
            print("pull_mb_s", megabytes / started.elapsed().as_secs_f64());
            print("pull_cpu_s_gib", (cpu_seconds(pid)? - cpu) / gibibytes);
        }
    }
    Ok(())
}

/// Pushes an image of a config and one layer as `latest`. Returns the manifest.
fn push_image(address: &str, image: &str) -> Result<String> {
    let mut connection = Connection::open(address)?;
    let layer = push_blob(&mut connection, image, &mut NoiseContent::new(1, 1))?;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MEDIA_TYPE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{layer}","size":{MEBIBYTE}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{MEBIBYTE}}}]}}"#
    );
    put_manifest(&mut connection, &format!("/v2/{image}/manifests/latest"), &manifest)?;
    Ok(manifest)
}

fn put_manifest(connection: &mut Connection, path: &str, manifest: &str) -> Result<()> {
    let headers = [("content-type", MEDIA_TYPE)];
    let put = connection.request("PUT", path, &headers, manifest.as_bytes())?;
    ensure!(put.status == 201, "PUT manifest: {}", put.status);
    Ok(())
}

fn measure_tags(address: &str, image: &str, seconds: u64) -> Result<()> {
    let manifest = push_image(address, image)?;
    let mut connection = Connection::open(address)?;
    let (started, mut written) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        put_manifest(&mut connection, &format!("/v2/{image}/manifests/t{written}"), &manifest)?;
        written += 1;
    }
    print("tags_s", f64::from(written) / started.elapsed().as_secs_f64());
    Ok(())
}

fn measure_uploads(address: &str, count: u64, mebibytes: usize) -> Result<()> {
    let seed = random_seed();
    let upload = |number: u64| {
        let address = address.to_owned();
        move || -> Result<()> {
            let mut connection = Connection::open(&address)?;
            let mut content = NoiseContent::new(seed.wrapping_add(number), mebibytes);
            push_blob(&mut connection, &format!("bench/uploads/image{number}"), &mut content)?;
            Ok(())
        }
    };
    let started = Instant::now();
    let running: Vec<_> = (0..count).map(|number| thread::spawn(upload(number))).collect();
    for upload in running {
        upload.join().map_err(|_| anyhow::anyhow!("an upload panicked"))??;
    }
    let megabytes = count as f64 * (mebibytes * MEBIBYTE) as f64 / 1e6;
    print("uploads_mb_s", megabytes / started.elapsed().as_secs_f64());
    Ok(())
}

fn measure_calls(address: &str, package: &str, digest: &str, seconds: u64) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let tags = format!("/v1/{package}/tags");
    let body = format!(r#"{{"version":"{package}/versions/{digest}"}}"#);
    let headers = [("content-type", "application/json")];
    let (started, mut rounds) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_secs(seconds) {
        let tag = format!("{tags}/call{rounds}");
        for (method, path, body) in [
            ("POST", &format!("{tags}?tagId=call{rounds}"), body.as_str()),
            ("GET", &tag, ""),
            ("GET", &format!("{tags}?pageSize=10"), ""),
            ("DELETE", &tag, ""),
        ] {
            let response = connection.request(method, path, &headers, body.as_bytes())?;
            ensure!(response.status == 200, "{method} {path}: {}", response.status);
        }
        rounds += 1;
    }
    print("calls_s", f64::from(4 * rounds) / started.elapsed().as_secs_f64());
    Ok(())
}

fn measure_latency(address: &str, path: &str, requests: usize) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let mut latencies_ms = Vec::with_capacity(requests);
    for _ in 0..requests {
        let started = Instant::now();
        let response = connection.request("GET", path, &[], b"")?;
        ensure!(response.status == 200, "GET {path}: {}", response.status);
        latencies_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    latencies_ms.sort_by(f64::total_cmp);
    print("p50_ms", latencies_ms[requests / 2]);
    print("p95_ms", latencies_ms[requests * 95 / 100]);
    print("p99_ms", latencies_ms[requests * 99 / 100]);
    Ok(())
}
