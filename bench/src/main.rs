//! Puts a registry under load and measures it from outside: the same bytes over plain sockets for every peer,
//! so that what differs is the registry. Each command prints `name value` lines.

mod http;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use http::Connection;
use model::digest::{Algorithm, Digest, Hasher};

const MIB: usize = 1 << 20;
const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Measures a registry on HOST:PORT.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write, hash and fdatasync alone: what no registry can beat.
    Disk { folder: PathBuf, mebibytes: usize },
    /// Push one blob (POST, PATCH, PUT), then pull it.
    Blob { address: String, pid: u32, mebibytes: usize },
    /// Push an image under `name:latest`, for those who read it.
    Image { address: String, name: String },
    /// Write tags one after the other for some seconds.
    Tags { address: String, name: String, seconds: u64 },
    /// Push blobs at once.
    Uploads { address: String, count: u64, mebibytes: usize },
    /// Create, get, list and delete tags by Google's API for some seconds, one call after the other. PACKAGE is the
    /// resource name of an image, DIGEST one of its manifests.
    Calls { address: String, package: String, digest: String, seconds: u64 },
    /// Ask for a path again and again, one at a time.
    Latency { address: String, path: String, requests: usize },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Disk { folder, mebibytes } => disk(&folder, mebibytes),
        Command::Blob { address, pid, mebibytes } => blob(&address, pid, mebibytes),
        Command::Image { address, name } => image(&address, &name).map(|_| ()),
        Command::Tags { address, name, seconds } => tags(&address, &name, seconds),
        Command::Uploads { address, count, mebibytes } => uploads(&address, count, mebibytes),
        Command::Calls { address, package, digest, seconds } => {
            calls(&address, (&package, &digest), seconds)
        }
        Command::Latency { address, path, requests } => latency(&address, &path, requests),
    }
}

fn print(name: &str, value: f64) {
    // A closed pipe ends the run anyway.
    let _ = writeln!(std::io::stdout(), "{name} {value:.3}");
}

/// Content that is another for each seed: a MiB of noise, numbered.
struct Content {
    block: Vec<u8>,
    mebibytes: usize,
}

impl Content {
    fn new(seed: u64, mebibytes: usize) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut block = Vec::with_capacity(MIB);
        while block.len() < MIB {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        Self { block, mebibytes }
    }

    fn each(&mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for number in 0..self.mebibytes {
            self.block[..8].copy_from_slice(&(number as u64).to_le_bytes());
            take(&self.block)?;
        }
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        self.each(|block| {
            hasher.update(block);
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    fn bytes(&self) -> usize {
        self.mebibytes * MIB
    }
}

/// No two runs push the same.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

fn disk(folder: &Path, mebibytes: usize) -> Result<()> {
    let path = folder.join("bench-disk");
    let mut content = Content::new(seed(), mebibytes);
    let started = Instant::now();
    let mut file = File::create(&path)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    content.each(|block| {
        hasher.update(block);
        Ok(file.write_all(block)?)
    })?;
    file.sync_data()?;
    hasher.finish();
    print("disk_mb_s", content.bytes() as f64 / 1e6 / started.elapsed().as_secs_f64());
    Ok(std::fs::remove_file(path)?)
}

/// A blob from POST to PUT, as docker does it.
fn push_blob(connection: &mut Connection, name: &str, content: &mut Content) -> Result<Digest> {
    let digest = content.digest()?;
    push_hashed(connection, name, (content, &digest))?;
    Ok(digest)
}

fn push_hashed(
    connection: &mut Connection,
    name: &str,
    (content, digest): (&mut Content, &Digest),
) -> Result<()> {
    let post = connection.request("POST", &format!("/v2/{name}/blobs/uploads/"), (&[], b""))?;
    ensure!(post.status == 202, "POST: {}", post.status);
    let length = content.bytes();
    connection.begin("PATCH", &post.location()?, length)?;
    content.each(|block| connection.send(block))?;
    let patch = connection.answer()?;
    ensure!(patch.status == 202, "PATCH: {}", patch.status);
    let location = patch.location()?;
    let separator = if location.contains('?') { '&' } else { '?' };
    let put =
        connection.request("PUT", &format!("{location}{separator}digest={digest}"), (&[], b""))?;
    ensure!(put.status == 201, "PUT: {}", put.status);
    Ok(())
}

/// Seconds of processor time that a process has taken.
fn cpu_seconds(pid: u32) -> Result<f64> {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("is it running?")?;
    let (_, fields) = stat.rsplit_once(')').context("a process's state")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS)
}

fn blob(address: &str, pid: u32, mebibytes: usize) -> Result<()> {
    let mut content = Content::new(seed(), mebibytes);
    let digest = content.digest()?;
    let megabytes = content.bytes() as f64 / 1e6;
    let gibibytes = mebibytes as f64 / 1024.0;
    let mut connection = Connection::open(address)?;
    let (started, cpu) = (Instant::now(), cpu_seconds(pid)?);
    let own_cpu = cpu_seconds(std::process::id())?;
    push_hashed(&mut connection, "bench/blobs/image", (&mut content, &digest))?;
    print("push_mb_s", megabytes / started.elapsed().as_secs_f64());
    print("push_cpu_s_gib", (cpu_seconds(pid)? - cpu) / gibibytes);
    print("push_client_cpu_s_gib", (cpu_seconds(std::process::id())? - own_cpu) / gibibytes);
    // The second pull finds what the first brought into memory, at every registry alike.
    for warm in [false, true] {
        let (started, cpu) = (Instant::now(), cpu_seconds(pid)?);
        let length = connection.discard(&format!("/v2/bench/blobs/image/blobs/{digest}"))?;
        ensure!(length == content.bytes() as u64, "GET: {length} bytes");
        if warm {
            print("pull_mb_s", megabytes / started.elapsed().as_secs_f64());
            print("pull_cpu_s_gib", (cpu_seconds(pid)? - cpu) / gibibytes);
        }
    }
    Ok(())
}

/// A manifest of a config and one layer, pushed under `latest`.
fn image(address: &str, name: &str) -> Result<String> {
    let mut connection = Connection::open(address)?;
    let layer = push_blob(&mut connection, name, &mut Content::new(1, 1))?;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MEDIA_TYPE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{layer}","size":{MIB}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{MIB}}}]}}"#
    );
    put_manifest(&mut connection, &format!("/v2/{name}/manifests/latest"), &manifest)?;
    Ok(manifest)
}

fn put_manifest(connection: &mut Connection, path: &str, manifest: &str) -> Result<()> {
    let headers = [("content-type", MEDIA_TYPE)];
    let put = connection.request("PUT", path, (&headers, manifest.as_bytes()))?;
    ensure!(put.status == 201, "PUT manifest: {}", put.status);
    Ok(())
}

fn tags(address: &str, name: &str, seconds: u64) -> Result<()> {
    let manifest = image(address, name)?;
    let mut connection = Connection::open(address)?;
    let (started, mut written) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        put_manifest(&mut connection, &format!("/v2/{name}/manifests/t{written}"), &manifest)?;
        written += 1;
    }
    print("tags_s", f64::from(written) / started.elapsed().as_secs_f64());
    Ok(())
}

fn uploads(address: &str, count: u64, mebibytes: usize) -> Result<()> {
    let base = seed();
    let upload = |n: u64| {
        let address = address.to_owned();
        move || -> Result<()> {
            let mut connection = Connection::open(&address)?;
            let mut content = Content::new(base.wrapping_add(n), mebibytes);
            push_blob(&mut connection, &format!("bench/uploads/image{n}"), &mut content)?;
            Ok(())
        }
    };
    let started = Instant::now();
    let running: Vec<_> = (0..count).map(|n| thread::spawn(upload(n))).collect();
    for upload in running {
        upload.join().map_err(|_| anyhow::anyhow!("an upload panicked"))??;
    }
    let megabytes = count as f64 * (mebibytes * MIB) as f64 / 1e6;
    print("uploads_mb_s", megabytes / started.elapsed().as_secs_f64());
    Ok(())
}

fn calls(address: &str, (package, digest): (&str, &str), seconds: u64) -> Result<()> {
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
            let reply = connection.request(method, path, (&headers, body.as_bytes()))?;
            ensure!(reply.status == 200, "{method} {path}: {}", reply.status);
        }
        rounds += 1;
    }
    print("calls_s", f64::from(4 * rounds) / started.elapsed().as_secs_f64());
    Ok(())
}

fn latency(address: &str, path: &str, requests: usize) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let mut took = Vec::with_capacity(requests);
    for _ in 0..requests {
        let started = Instant::now();
        let reply = connection.request("GET", path, (&[], b""))?;
        ensure!(reply.status == 200, "GET {path}: {}", reply.status);
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    print("p50_ms", took[requests / 2]);
    print("p95_ms", took[requests * 95 / 100]);
    print("p99_ms", took[requests * 99 / 100]);
    Ok(())
}
