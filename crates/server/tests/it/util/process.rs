//! The `berth` command as a process. Tests look at its log and its signals.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::Value;

use super::{Backend, Client, with_deadline};

/// A process that is killed when it is dropped.
pub(crate) struct ChildProcess(pub(crate) Child);

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

impl ChildProcess {
    /// Kills the process by SIGKILL: it writes nothing down and closes nothing.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Reads standard error, which is a pipe, to its end.
    pub(crate) fn read_stderr(&mut self) -> String {
        let mut text = String::new();
        let mut stderr = self.0.stderr.take().expect("piped");
        std::io::Read::read_to_string(&mut stderr, &mut text).expect("text");
        text
    }

    fn pid(&self) -> Pid {
        i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a running process")
    }

    pub(crate) fn send_signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("ours");
    }

    /// Limits the number of open files, and returns the limit before. Files beyond the limit stay open.
    pub(crate) fn limit_open_files(&self, most: u64) -> u64 {
        // The hard limit is inherited from the test's process.
        let inherited = rustix::process::getrlimit(Resource::Nofile);
        let limit = Rlimit { current: Some(most), ..inherited };
        let before = rustix::process::prlimit(Some(self.pid()), Resource::Nofile, limit);
        before.expect("ours").current.unwrap_or(most)
    }
}

/// A server in a process of its own.
pub(crate) struct BerthProcess {
    pub(crate) process: ChildProcess,
    pub(crate) client: Client,
    /// The content of `addresses.json`.
    pub(crate) addresses: Value,
    /// The folder of `addresses.json` and the operator's socket.
    pub(crate) run: PathBuf,
}

pub(crate) fn berth_command(arguments: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the test is about processes")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(arguments).env_remove("BERTH_CONFIG");
    command
}

/// As [`berth_command`], with these limits of open files.
pub(crate) fn berth_command_with_files(arguments: &[&str], (soft, hard): (u64, u64)) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the test is about processes")]
    let mut command = Command::new("sh");
    let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_berth")]);
    command.args(arguments).env_remove("BERTH_CONFIG");
    command
}

pub(crate) fn run_berth(arguments: &[&str]) -> Output {
    berth_command(arguments).output().expect("it runs")
}

/// Runs a command to its end, with this input.
pub(crate) fn run_berth_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = berth_command(arguments);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = piped.spawn().expect("it runs");
    // A command that is refused before it reads closes the pipe.
    let _ = running.stdin.take().expect("piped").write_all(input);
    running.wait_with_output().expect("it ends")
}

/// The `berth` command, whose log is thrown away.
pub(crate) fn quiet_berth(arguments: &[&str]) -> Command {
    let mut command = berth_command(arguments);
    command.stderr(Stdio::null());
    command
}

/// Starts a server, asserts that it refuses to start, and returns its error text.
pub(crate) async fn expect_start_refused(
    data: &Path,
    flags: &[&str],
    database: &Backend,
) -> String {
    let mut command = berth_command(&["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off"]);
    command.args(flags).arg("--data").arg(data);
    if let Backend::Postgres(url) = database {
        command.args(["--database", url]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = ChildProcess(command.spawn().expect("it runs"));
    let status = wait_for(|| process.0.try_wait().expect("ours")).await;
    let error = process.read_stderr();
    assert!(!status.success(), "it must not start: {error}");
    error
}

/// Runs a script that finds the command in `$BERTH`.
pub(crate) fn run_shell(script: &str, variables: &[(&str, &str)]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the test is about what a shell does")]
    let mut command = Command::new("sh");
    let variables = variables.iter().copied().chain([("BERTH", env!("CARGO_BIN_EXE_berth"))]);
    command.args(["-c", script]).envs(variables).output().expect("it runs")
}

impl BerthProcess {
    pub(crate) async fn start(data: &Path, database: &Backend) -> Self {
        let mut command = berth_command(&["serve", "--dev"]);
        if let Backend::Postgres(url) = database {
            command.args(["--database", url]);
        }
        Self::spawn(data, command.stderr(Stdio::null())).await
    }

    pub(crate) async fn spawn(data: &Path, command: &mut Command) -> Self {
        Self::spawn_at(data, "127.0.0.1:0", command).await
    }

    /// Starts a server that listens at this address.
    pub(crate) async fn spawn_at(data: &Path, listen: &str, command: &mut Command) -> Self {
        command.args(["--listen", listen, "--ops-listen", "127.0.0.1:0", "--data"]);
        let child = command.arg(data).stdout(Stdio::null()).spawn().expect("it starts");
        let mut process = ChildProcess(child);
        let (run, addresses) = wait_for(|| {
            let ended = process.0.try_wait().expect("ours");
            assert!(ended.is_none(), "the server did not start: {ended:?}");
            find_run_folder(data, process.0.id())
        })
        .await;
        let client = Client::new(parse_address(&addresses["listen"]));
        Self { process, client, addresses, run }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn listen_address(&self) -> SocketAddr {
        parse_address(&self.addresses["listen"])
    }
}

pub(crate) fn parse_address(text: &Value) -> SocketAddr {
    text.as_str().expect("text").parse().expect("an address")
}

/// The run folder of a process, and the content of `addresses.json` in it.
pub(crate) fn find_run_folder(data: &Path, pid: u32) -> Option<(PathBuf, Value)> {
    let runs = std::fs::read_dir(data.join("run")).ok()?.flatten().map(|entry| entry.path());
    let mut said = runs.filter_map(|run| {
        let text = std::fs::read_to_string(run.join("addresses.json")).ok()?;
        Some((run, serde_json::from_str::<Value>(&text).expect("JSON")))
    });
    said.find(|(_, addresses)| addresses["pid"] == pid)
}

/// Repeats a question until there is an answer.
pub(crate) async fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let answered = async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    with_deadline(answered).await
}

/// Waits until a file has this text in it, and returns all of the file.
pub(crate) async fn wait_for_text(file: &Path, text: &str) -> String {
    wait_for(|| {
        let content = std::fs::read_to_string(file).expect("readable");
        content.contains(text).then_some(content)
    })
    .await
}

/// Waits until a log has a line with this text in it, and returns the line.
pub(crate) async fn wait_for_log_line(log: &Path, text: &str) -> String {
    let content = wait_for_text(log, text).await;
    content.lines().find(|line| line.contains(text)).expect("it is in a line").to_owned()
}
