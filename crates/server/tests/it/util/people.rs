//! The operator's commands, and the people whom the operator adds.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::TestServer;

impl TestServer {
    /// Sends a command to the operator's socket.
    pub(crate) async fn operate(&self, command: &Value) -> Result<Value, String> {
        let socket = self.run_folder().join("admin.sock");
        let mut stream = UnixStream::connect(socket).await.expect("it listens");
        stream.write_all(format!("{command}\n").as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        match answer.get("done") {
            Some(done) => Ok(done.clone()),
            None => Err(answer["error"].as_str().expect("an error").to_owned()),
        }
    }

    /// Sends a command about people to the operator's socket.
    pub(crate) async fn users(&self, action: Value) -> Result<Value, String> {
        self.operate(&json!({ "command": "users", "action": action })).await
    }

    /// Sends a command about one person to the operator's socket, as `disable` or `sign_out`.
    pub(crate) async fn change_user(&self, verb: &str, email: &str) -> Value {
        self.users(json!({ verb: { "email": email } })).await.expect("it is done")
    }

    /// Adds a person. Returns the answer, with the link.
    pub(crate) async fn add_user(&self, email: &str) -> Value {
        self.change_user("add", email).await["added"].clone()
    }
}

/// The token of a link in an answer of the operator's socket.
pub(crate) fn token_of(link: &Value) -> String {
    let url = link["url"].as_str().expect("a URL");
    let (base, token) = url.rsplit_once('/').expect("a path");
    assert!(base.ends_with("/console/-/password"), "{url}");
    token.to_owned()
}
