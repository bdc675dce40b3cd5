//! The `berth` command as a process.

mod logs;
mod operator;
mod pushes;
mod starts;
mod stops;

use std::process::ExitStatus;

use crate::util::process::{ChildProcess, wait_for};

const IMAGE: &str = "p/r1/image";

async fn wait_for_end(process: &mut ChildProcess) -> ExitStatus {
    wait_for(|| process.0.try_wait().expect("ours")).await
}
