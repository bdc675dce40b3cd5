//! A proxy before a registry: it passes on what the registry sends, at a limited pace if it has one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// The bytes that are passed on at once.
const BLOCK: usize = 256 << 10;
/// The pause of a paced stream that is ahead of its pace.
const PAUSE: Duration = Duration::from_micros(200);

/// Serves connections to `upstream` on `listen` until it is killed. Each connection brings at most `megabytes` a second.
pub(crate) fn serve(listen: &str, upstream: &str, megabytes: u64) -> Result<()> {
    for client in TcpListener::bind(listen)?.incoming() {
        let (client, server) = (client?, TcpStream::connect(upstream)?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (to_server, to_client) = (server.try_clone()?, client.try_clone()?);
        thread::spawn(move || pass_on(client, to_server, u64::MAX));
        thread::spawn(move || pass_on(server, to_client, megabytes * 1_000_000));
    }
    Ok(())
}

/// Passes bytes on until one of the sides closes the connection. The time begins anew with every pause of the sender.
fn pass_on(mut from: TcpStream, mut to: TcpStream, bytes_per_second: u64) {
    let mut block = vec![0; BLOCK];
    let (mut started, mut sent) = (Instant::now(), 0_f64);
    loop {
        let waiting = Instant::now();
        let Ok(length @ 1..) = from.read(&mut block) else { break };
        if waiting.elapsed() > Duration::from_millis(100) {
            (started, sent) = (Instant::now(), 0.0);
        }
        while sent > started.elapsed().as_secs_f64() * bytes_per_second as f64 {
            thread::sleep(PAUSE);
        }
        if to.write_all(&block[..length]).is_err() {
            break;
        }
        sent += length as f64;
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
