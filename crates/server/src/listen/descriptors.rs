//! File descriptors: how many the process may have, and how many of them connections may take.
//!
//! A connection, a blob that is read and a connection to the database take one each. Clients decide how many of the first
//! two there are. So connections stop while there are some left for files, and files stop while there are some left for
//! the database (see the `blob` crate). The kernel gives the lowest free number, so that a number tells how many are in use.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

/// How many connections the listeners for operators and for the metadata server have at once, each.
pub(super) const OPERATOR_PLACES: usize = 64;
/// Descriptors that no connection of a client takes, even where files have taken those that are theirs..
const KEPT_FROM_CLIENTS: RawFd = 64;
/// ..and that no connection takes at all.
const KEPT_FROM_ALL: RawFd = 16;

/// Raises the limit that applies to the one that the process may have at most.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "cannot raise the limit of open files: {error}");
    }
}

/// How many connections there may be, of those that are wished for.
pub(crate) fn places_for(wished: usize, listen: SocketAddr) -> usize {
    let Some(limit) = limit() else { return wished };
    let possible = possible_places(limit);
    if wished <= possible {
        return wished;
    }
    tracing::warn!(
        "limits.connections is {wished}, but this process may open {limit} files, which is enough for {possible} connections \
         to {listen}; raise the limit (ulimit -n, LimitNOFILE=) or lower the setting"
    );
    possible
}

/// A quarter is for files and the database: each answer from a blob has its file open.
fn possible_places(limit: usize) -> usize {
    const LEAST: usize = 192;
    const MOST: usize = 4096;
    let kept = (limit / 4).clamp(LEAST, MOST);
    limit.saturating_sub(kept).max(limit / 4).max(1)
}

fn limit() -> Option<usize> {
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
}

/// The highest descriptor that a connection may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct DescriptorLine(RawFd);

impl DescriptorLine {
    /// For connections of clients.
    pub(super) fn of_clients() -> Self {
        Self::below_the_limit(KEPT_FROM_CLIENTS)
    }

    /// For connections of operators.
    pub(super) fn of_operators() -> Self {
        Self::below_the_limit(KEPT_FROM_ALL)
    }

    fn below_the_limit(kept: RawFd) -> Self {
        let limit = limit().and_then(|limit| RawFd::try_from(limit).ok()).unwrap_or(RawFd::MAX);
        // With very few of them, connections have half.
        Self((limit - kept).max(limit / 2))
    }

    /// Whether the connection leaves enough for others.
    pub(super) fn allows(self, stream: &TcpStream) -> bool {
        stream.as_raw_fd() < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_part() {
        let rows = [(16, 4), (256, 64), (1024, 768), (20_000, 15_904), (1_048_576, 1_044_480)];
        for (limit, places) in rows {
            assert_eq!(possible_places(limit), places, "{limit}");
        }
    }
}
