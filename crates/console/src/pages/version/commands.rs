//! The commands that pull a version, for several tools.

use model::digest::Digest;

/// The commands by which one tool pulls a version.
pub(crate) struct PullCommand {
    pub(crate) tool: &'static str,
    pub(crate) by_tag: Option<String>,
    pub(crate) by_digest: String,
}

/// Returns the commands that pull a version of the image at `address`.
pub(crate) fn pull_commands(address: &str, tag: Option<&str>, digest: &Digest) -> Vec<PullCommand> {
    const TOOLS: [(&str, &str, &str); 4] = [
        ("docker", "docker pull ", ""),
        ("podman", "podman pull ", ""),
        ("crictl", "crictl pull ", ""),
        ("crane", "crane pull ", " image.tar"),
    ];
    let command = |(tool, before, after): (&'static str, &str, &str)| PullCommand {
        tool,
        by_tag: tag.map(|tag| format!("{before}{address}:{tag}{after}")),
        by_digest: format!("{before}{address}@{digest}{after}"),
    };
    TOOLS.map(command).into()
}
