//! The share of one network in all connections.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::util::{Backend, Client, TestServer, with_deadline};

/// Connects from an address of this machine.
async fn connect_from(address: &str, server: &TestServer) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(address.parse().expect("an address"), 0)).expect("ours");
    socket.connect(server.address).await.expect("it listens")
}

/// Sends a request. Returns the beginning of the answer, or nothing if the connection was closed.
async fn ping_status(stream: &mut TcpStream) -> String {
    let _ = stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut start = [0; 12];
    match with_deadline(stream.read_exact(&mut start)).await {
        Ok(_) => String::from_utf8_lossy(&start).into_owned(),
        Err(_) => String::new(),
    }
}

#[tokio::test]
async fn one_address_leaves_connections_for_others() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.connections = 5;
        config.limits.connections_per_network = 3;
    })
    .await;
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from("127.0.0.1", &server).await;
        assert_eq!(ping_status(&mut stream).await, "HTTP/1.1 401");
        inside.push(stream);
    }
    assert_eq!(
        ping_status(&mut connect_from("127.0.0.1", &server).await).await,
        "",
        "its part is taken"
    );
    let mut other = connect_from("127.0.0.2", &server).await;
    assert_eq!(ping_status(&mut other).await, "HTTP/1.1 401");
    let ops = Client::new(server.ops);
    let metrics = ops.get("/metrics").await.expect_status(200);
    let refused = "berth_http_connections_refused_total{reason=\"network\"} 1\n";
    assert!(metrics.text().contains(refused), "{}", metrics.text());
    // A connection that ends makes room.
    inside.pop();
    let again = async {
        while ping_status(&mut connect_from("127.0.0.1", &server).await).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    with_deadline(again).await;
}

/// Several addresses take all connections, but operators have their own.
#[tokio::test]
async fn operators_have_their_own_connections() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.connections = 4;
        config.limits.connections_per_network = 2;
    })
    .await;
    let mut inside = Vec::new();
    for address in ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"] {
        let mut stream = connect_from(address, &server).await;
        assert_eq!(ping_status(&mut stream).await, "HTTP/1.1 401");
        inside.push(stream);
    }
    Client::new(server.ops).get("/readyz").await.expect_status(200);
    Client::new(server.ops).get("/metrics").await.expect_status(200);
}

/// A proxy may have any number of connections. The limit holds for the addresses that it forwards.
#[tokio::test]
async fn behind_a_proxy_the_forwarded_address_counts() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.connections_per_network = 1;
        config.proxies = vec!["127.0.0.1".parse().expect("a network")];
    })
    .await;
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from("127.0.0.1", &server).await;
        assert_eq!(ping_status(&mut stream).await, "HTTP/1.1 401");
        inside.push(stream);
    }
    let form = |client: &str| {
        format!(
            "POST /token HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {client}\r\n\
             content-length: 10\r\n\r\na"
        )
    };
    let mut slow = connect_from("127.0.0.1", &server).await;
    slow.write_all(form("192.0.2.1").as_bytes()).await.expect("open");
    // The second request is the one for the metrics.
    server.wait_for_metrics("berth_http_requests_running 2").await;
    for (client, expected) in [("192.0.2.1", "HTTP/1.1 429"), ("192.0.2.2", "HTTP/1.1 401")] {
        let mut stream = connect_from("127.0.0.1", &server).await;
        let request =
            format!("GET /v2/ HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {client}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut start = [0; 12];
        with_deadline(stream.read_exact(&mut start)).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&start), expected, "{client}");
    }
}
