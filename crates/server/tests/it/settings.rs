//! Settings that a process finds in its environment.

use std::process::Stdio;

use crate::util::process::{BerthProcess, berth_command};

/// Kubernetes gives a pod variables that look like settings if a Service's name begins with `berth`.
#[tokio::test]
async fn variables_of_kubernetes_are_no_settings() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev"]);
    command.envs([
        ("BERTH_SERVICE_HOST", "10.96.0.17"),
        ("BERTH_SERVICE_PORT", "5050"),
        ("BERTH_SERVICE_PORT_REGISTRY", "5050"),
        ("BERTH_PORT", "tcp://10.96.0.17:5050"),
        ("BERTH_PORT_5050_TCP", "tcp://10.96.0.17:5050"),
        ("BERTH_PORT_5050_TCP_PROTO", "tcp"),
        ("BERTH_PORT_5050_TCP_PORT", "5050"),
        ("BERTH_PORT_5050_TCP_ADDR", "10.96.0.17"),
        ("BERTH_OPS_SERVICE_HOST", "10.96.0.18"),
        ("BERTH_OPS_PORT", "tcp://10.96.0.18:5051"),
    ]);
    let berth = BerthProcess::spawn(folder.path(), command.stderr(Stdio::null())).await;
    berth.client.get("/v2/").await.expect_status(200);
}
