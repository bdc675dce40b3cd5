//! The data folder: its lock, its files, and the folder in which a running process says how to reach it.

mod owner_key;

use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use blob::DiskSpace;
use identity::MasterKey;
use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use serde_json::json;

/// The other processes that may use a data folder at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderSharing {
    /// No other process: the folder holds a SQLite database.
    Alone,
    /// Other processes on the same PostgreSQL database.
    Shared,
}

/// A data folder whose lock this process holds.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    run: RunFolder,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is missing, and takes its lock.
    pub fn open(path: &Path, sharing: FolderSharing) -> anyhow::Result<Self> {
        let context = || unusable_folder(path);
        private_folder(path).with_context(context)?;
        deny_others(path).with_context(context)?;
        let lock = lock_file(&path.join("lock")).with_context(context)?;
        let operation = match sharing {
            FolderSharing::Alone => FlockOperation::NonBlockingLockExclusive,
            FolderSharing::Shared => FlockOperation::NonBlockingLockShared,
        };
        if flock(&lock, operation).is_err() {
            bail!(
                "{} is in use by another berth; stop it, choose another folder with --data, or let both share a PostgreSQL database",
                path.display()
            );
        }
        let run = RunFolder::create(&path.join("run")).with_context(context)?;
        Ok(Self { path: path.to_owned(), run, _lock: lock })
    }

    /// Waits until no other process inspects the folder or makes what is missing in it, and keeps others from doing so
    /// until the returned lock is dropped.
    pub(crate) fn take_turn(&self) -> anyhow::Result<File> {
        take_turn(&self.path.join("run")).with_context(|| unusable_folder(&self.path))
    }

    /// Returns the path of the SQLite database.
    pub fn database(&self) -> PathBuf {
        self.path.join("berth.db")
    }

    /// Returns the folder's path. The blobs are below it, in `blobs`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the master key, which seals the private keys in the database. A person who has both can sign
    /// tokens of every account.
    pub fn master_key_file(&self) -> PathBuf {
        self.path.join("master.key")
    }

    /// Writes a new master key, unless there is one. Returns whether the new key was written.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_master_key(&self, bytes: &[u8; MasterKey::LENGTH]) -> anyhow::Result<bool> {
        let path = self.master_key_file();
        let context = || format!("cannot write the master key {}", path.display());
        // The file is complete before it has its name, because another process may read it at any time.
        let new = self.path.join(format!("master.key.{}", std::process::id()));
        let _ = fs::remove_file(&new);
        let mut file = private_file(&new).with_context(context)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).with_context(context)?;
        let linked = fs::hard_link(&new, &path);
        fs::remove_file(&new).with_context(context)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            linked => linked.with_context(context)?,
        }
        File::open(&self.path)?.sync_all()?;
        Ok(true)
    }

    /// Reads the master key. Returns `None` if there is no such file.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or is no key.
    pub fn master_key(&self) -> anyhow::Result<Option<MasterKey>> {
        let path = self.master_key_file();
        let context = || format!("cannot use the master key {}", path.display());
        // A symbolic link whose target is missing is an error: a new key must not replace it.
        if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let mode = fs::metadata(&path).with_context(context)?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("{} can be read by others; chmod 600 it", path.display());
        }
        let bytes = fs::read(&path).with_context(context)?;
        let bytes: Result<[u8; MasterKey::LENGTH], _> =
            bytes.try_into().map_err(|_| anyhow::anyhow!("it has the wrong length"));
        let bytes = bytes.with_context(context)?;
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            bail!("{} has the same byte everywhere, which is no secret", path.display());
        }
        Ok(Some(MasterKey::new(&bytes)))
    }

    /// Writes the key file of the first account under a temporary name, readable by this user alone. The account is not
    /// stored yet: if the process ends before [`DataFolder::publish_owner_key`], the file is still there.
    pub fn write_owner_key(&self, key_file: &str) -> io::Result<PathBuf> {
        let path = self.path.join(format!("owner-key.{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let mut file = private_file(&path)?;
        file.write_all(key_file.as_bytes())?;
        file.sync_all()?;
        File::open(&self.path)?.sync_all()?;
        Ok(path)
    }

    /// Gives the key file its final name, once the account is stored.
    pub fn publish_owner_key(&self, written: &Path) -> io::Result<PathBuf> {
        let path = self.path.join("owner-key.json");
        fs::rename(written, &path)?;
        Ok(path)
    }

    /// Returns the path of the operator's socket.
    pub fn socket(&self) -> PathBuf {
        self.run.path.join("admin.sock")
    }

    /// Writes `addresses.json`, from which other programs learn where this process listens.
    pub fn write_addresses(&self, running: &RunningFolder<'_>) -> anyhow::Result<()> {
        let RunningFolder { listen, url, domain, dev, ops, metadata } = *running;
        let addresses = json!({
            "pid": std::process::id(),
            "listen": listen.to_string(),
            "url": url,
            "domain": domain,
            "dev": dev,
            "ops": ops.map(|ops| ops.to_string()),
            "metadata": metadata.map(|metadata| metadata.to_string()),
        });
        // The file is complete before it has its name, so that nobody reads half of it.
        let (new, path) =
            (self.run.path.join("addresses.new"), self.run.path.join("addresses.json"));
        let mut file = File::create(&new)?;
        writeln!(file, "{addresses}")?;
        fs::rename(new, path)?;
        Ok(())
    }
}

/// Refuses a disk on which less than 1 MiB is free. SQLite maps memory from a file on it, and the kernel kills a
/// process that touches a page for which there is no room.
pub fn check_disk(path: &Path) -> anyhow::Result<()> {
    const MIN_FREE_BYTES: u64 = 1 << 20;
    // The folder may be missing yet: then its nearest parent that is there counts.
    let existing = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    match DiskSpace::of(existing) {
        Ok(Some(space)) if space.free < MIN_FREE_BYTES => bail!(
            "the disk of {} is full: {} KiB are free, and a start needs {}; make room on it, outside of the folder \
             (or of its old audit logs), and start again",
            path.display(),
            space.free >> 10,
            MIN_FREE_BYTES >> 10
        ),
        // An error here is not reported: opening the folder reports it with more detail.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The folder `run/<random>` of a process, in which it says how to reach it, for as long as it runs.
///
/// The folder's name is random, and the sign of life is a lock on a file in it. Process ids would not do: processes in
/// two containers may have the same one, and cannot see each other.
#[derive(Debug)]
struct RunFolder {
    path: PathBuf,
    _alive: File,
}

/// The name of the file whose lock says that the process of the folder runs.
const LOCK_FILE: &str = "alive";

impl RunFolder {
    fn create(runs: &Path) -> io::Result<Self> {
        private_folder(runs)?;
        // One process at a time: to others, a folder whose lock is not taken yet would look dead.
        let _turn = take_turn(runs)?;
        delete_dead_folders(runs)?;
        let path = runs.join(format!("{:016x}", RandomState::new().hash_one(std::process::id())));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let alive = lock_file(&path.join(LOCK_FILE))?;
        flock(&alive, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path, _alive: alive })
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The addresses and names that a running process writes into its folder.
pub struct RunningFolder<'a> {
    /// The address on which clients are served.
    pub listen: SocketAddr,
    /// The URL by which clients reach the server.
    pub url: &'a str,
    /// The domain of the hosts in names of images.
    pub domain: &'a str,
    /// True in `--dev`, where everybody may do everything.
    pub dev: bool,
    /// The address of health and metrics, unless they are off.
    pub ops: Option<SocketAddr>,
    /// The address of the metadata server, unless it is off.
    pub metadata: Option<SocketAddr>,
}

/// The part of `addresses.json` that `berth env` reads.
#[derive(Debug, Deserialize)]
pub struct ServerAddresses {
    /// The URL by which clients reach the server.
    pub url: String,
    /// The domain of the hosts in names of images.
    pub domain: String,
    /// True in `--dev`, where everybody may do everything without a credential. A server of an older release does not
    /// write it.
    #[serde(default)]
    pub dev: bool,
}

/// Returns the addresses of a process that runs on this folder: of any one, if there are several.
pub fn read_addresses(path: &Path) -> anyhow::Result<ServerAddresses> {
    let not_running = || format!("no berth runs on {}; name it with --url", path.display());
    let socket = find_sockets(path)?.into_iter().next().with_context(not_running)?;
    let text =
        fs::read_to_string(socket.with_file_name("addresses.json")).with_context(not_running)?;
    Ok(serde_json::from_str(&text)?)
}

/// Returns the operator's sockets of the processes that run on this folder.
pub fn find_sockets(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let runs = path.join("run");
    let entries = fs::read_dir(&runs).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "cannot look into {}: {error}; run this as the user that the server runs as",
            path.display()
        ),
        _ => anyhow::anyhow!(
            "no berth has run on {}: {error}; name the folder with --data (a server with --ephemeral has none, and is \
             reached by `berth env --url` alone)",
            path.display()
        ),
    })?;
    let sockets = entries.filter_map(|entry| Some(entry.ok()?.path().join("admin.sock")));
    Ok(sockets.filter(|socket| UnixStream::connect(socket).is_ok()).collect())
}

/// Returns the error text for a data folder that cannot be used. The text has the absolute path, and says if the folder
/// is a file or belongs to another user.
fn unusable_folder(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = absolute.display();
    let user = rustix::process::geteuid().as_raw();
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => {
            format!("cannot use the data folder {name}: it is a file")
        }
        Ok(metadata) if metadata.uid() != user => format!(
            "cannot use the data folder {name}, which belongs to user {}: this is user {user}",
            metadata.uid()
        ),
        Ok(_) | Err(_) => format!("cannot use the data folder {name} (--data names another)"),
    }
}

/// Makes a new file that only its owner may read.
fn private_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Takes the permissions of group and others from a folder that was there before: its content is not for them.
fn deny_others(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    // A folder with the sticky bit, as /tmp, is meant for all users.
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw() && mode & 0o1000 == 0;
    if !is_ours {
        tracing::warn!(
            "other users may read the files in {}; use another folder that belongs to this user",
            path.display()
        );
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !0o077))
}

fn take_turn(runs: &Path) -> io::Result<File> {
    let turn = lock_file(&runs.join("lock"))?;
    flock(&turn, FlockOperation::LockExclusive)?;
    Ok(turn)
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn lock_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Deletes the folders of processes that were killed: nobody holds their lock.
fn delete_dead_folders(runs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(runs)? {
        let folder = entry?.path();
        if !folder.is_dir() {
            continue;
        }
        let alive = fs::OpenOptions::new().write(true).open(folder.join(LOCK_FILE));
        let dead = match alive {
            Ok(alive) => flock(&alive, FlockOperation::NonBlockingLockExclusive).is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if dead && let Err(error) = fs::remove_dir_all(&folder) {
            tracing::warn!(%error, "cannot delete {}: {error}", folder.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processes with the same id, as in two containers: here they are even one process.
    #[test]
    fn folders_of_running_processes_stay_whatever_their_process_id() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = DataFolder::open(folder.path(), FolderSharing::Shared).expect("free");
        fs::write(first.socket(), "").expect("writable");
        let killed = DataFolder::open(folder.path(), FolderSharing::Shared).expect("shared");
        let (left, other) = (killed.run.path.clone(), killed.run.path.join("other"));
        assert!(first.socket().exists());
        // Like SIGKILL: the lock is gone, the folder is not.
        let DataFolder { run, .. } = &killed;
        flock(&run._alive, FlockOperation::Unlock).expect("ours");
        fs::write(other, "").expect("writable");
        let third = DataFolder::open(folder.path(), FolderSharing::Shared).expect("shared");
        assert!(first.socket().exists() && third.run.path.exists());
        assert!(!left.exists());
    }
}
