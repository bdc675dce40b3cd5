//! File descriptors: how many the process may have, and how many of them connections may take.
//!
//! A connection, an open blob and a connection to the database take one descriptor each, and clients decide how many of
//! the first two there are. So connections are refused while some descriptors are left for files, and files while some
//! are left for the database (see the `blob` crate). The kernel gives the lowest free number, so that the number of a
//! new descriptor tells how many are in use.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

/// The most connections at once of the listener for operators, and of that for the metadata server.
pub(super) const MAX_OPERATOR_CONNECTIONS: usize = 64;
/// The number of descriptors that no connection of a client takes, even where files have taken theirs.
const KEPT_FROM_CLIENTS: RawFd = 64;
/// The number of descriptors that no connection takes at all, not even an operator's.
const KEPT_FROM_ALL: RawFd = 16;

/// Raises the soft limit of open files to the hard limit.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "cannot raise the limit of open files: {error}");
    }
}

/// Returns how many connections there may be: `wished`, or fewer if the limit of open files does not allow so many.
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

/// Returns the number of connections that a limit of open files allows. A quarter is kept for files and the database:
/// each answer from a blob has its file open.
fn possible_places(limit: usize) -> usize {
    const MIN_KEPT: usize = 192;
    const MAX_KEPT: usize = 4096;
    let kept = (limit / 4).clamp(MIN_KEPT, MAX_KEPT);
    limit.saturating_sub(kept).max(limit / 4).max(1)
}

fn limit() -> Option<usize> {
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
}

/// The first descriptor that a connection may not have: all lower ones are allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct DescriptorLine(RawFd);

impl DescriptorLine {
    /// Returns the line for connections of clients.
    pub(super) fn of_clients() -> Self {
        Self::below_the_limit(KEPT_FROM_CLIENTS)
    }

    /// Returns the line for connections of operators.
    pub(super) fn of_operators() -> Self {
        Self::below_the_limit(KEPT_FROM_ALL)
    }

    fn below_the_limit(kept: RawFd) -> Self {
        let limit = limit().and_then(|limit| RawFd::try_from(limit).ok()).unwrap_or(RawFd::MAX);
        // If the limit is very low, connections have half.
        Self((limit - kept).max(limit / 2))
    }

    /// Returns whether the connection leaves enough descriptors for files and the database.
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
