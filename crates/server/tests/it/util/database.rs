//! The tests' PostgreSQL as its administrator sees it, and faults of it.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_postgres::NoTls;

/// The URL of an administrator, if there is a PostgreSQL.
pub(crate) fn administrator_url() -> Option<String> {
    std::env::var("TEST_POSTGRES_URL").ok()
}

/// Executes statements as the administrator.
pub(crate) async fn execute_as_administrator(statements: &[String]) {
    let url = administrator_url().expect("who has a database of it knows where it is");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("it runs");
    let connection = tokio::spawn(connection);
    for statement in statements {
        client.batch_execute(statement).await.expect("an administrator");
    }
    drop(client);
    let _ = connection.await;
}

/// Refuses new connections to a database, and ends the open ones.
pub(crate) async fn close_database(url: &str) {
    let (_, name) = url.rsplit_once('/').expect("a URL with a database");
    let ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
    execute_as_administrator(&[
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!("{ends} '{name}'"),
    ])
    .await;
}

/// Allows connections to the database again.
pub(crate) async fn reopen_database(url: &str) {
    let (_, name) = url.rsplit_once('/').expect("a URL with a database");
    execute_as_administrator(&[format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")]).await;
}

/// Starts a proxy in front of a database. On a signal its connections stay open and transfer nothing more.
pub(crate) async fn start_database_proxy(url: &str) -> (String, watch::Sender<bool>) {
    let (server, name) = url.rsplit_once('/').expect("a URL with a database");
    let (user, server) = server.rsplit_once('@').expect("a URL with a user");
    let (server, (silent, silence)) = (server.to_owned(), watch::channel(false));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, mut silence) = (server.clone(), silence.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.expect("it runs");
                let silent = async { drop(silence.wait_for(|silent| *silent).await) };
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => return,
                    () = silent => {}
                }
                std::future::pending().await
            });
        }
    });
    (format!("{user}@{address}/{name}"), silent)
}
