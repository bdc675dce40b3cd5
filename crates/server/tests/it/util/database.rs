//! The PostgreSQL of the tests, as its administrator sees it, and what can happen to one.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_postgres::NoTls;

/// Who may do everything there, if there is a PostgreSQL.
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

/// Lets nobody have a connection to a database, also who has one.
pub(crate) async fn close_database(url: &str) {
    let (_, name) = url.rsplit_once('/').expect("a URL with a database");
    let ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
    execute_as_administrator(&[
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!("{ends} '{name}'"),
    ])
    .await;
}

/// Lets them connect again.
pub(crate) async fn reopen_database(url: &str) {
    let (_, name) = url.rsplit_once('/').expect("a URL with a database");
    execute_as_administrator(&[format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")]).await;
}

/// A database by way of connections that fall silent when they are told to, and stay open.
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
