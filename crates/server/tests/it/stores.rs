//! A database and a blob folder that are missing or swapped. The server creates nothing in their place, deletes no rows, and
//! goes on when they are back.

mod running;
mod starts;

use std::fs;
use std::path::{Path, PathBuf};

const IMAGE: &str = "p/r1/image";

/// The files of the database.
fn database_files(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data).expect("the data folder").flatten().map(|file| file.path());
    let is_database = |file: &PathBuf| file.to_string_lossy().contains("berth.db");
    files.filter(is_database).collect()
}

/// The empty folder whose name is the store's id.
fn find_marker(data: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(data.join("blobs")).ok()?.flatten();
    let is_marker = |name: &str| name.starts_with("store-");
    entries.find(|entry| entry.file_name().to_str().is_some_and(is_marker)).map(|e| e.path())
}
