//! What stands before a registry: a proxy, and an end of TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificate::encode_pem;
use super::{AccountKey, AccountServer, Backend, StartOn};
use crate::attacks::certificate_of_host;

/// A proxy that leads everybody to one place, whatever name the client wants. It ends with the test's runtime.
pub(crate) struct ScriptedProxy {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl ScriptedProxy {
    pub(crate) async fn start(place: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let record = heads.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(lead(client, place, record.clone()));
            }
        });
        Self { address, heads }
    }

    /// The first requests of all connections so far, each with its headers.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

async fn lead(mut client: TcpStream, place: SocketAddr, record: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    record.lock().expect("no panic").push(String::from_utf8_lossy(&head).into_owned());
    let mut upstream = TcpStream::connect(place).await.expect("it listens");
    let begun = match head.starts_with(b"CONNECT ") {
        true => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await,
        false => upstream.write_all(&head).await,
    };
    begun.expect("open");
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}

/// An end of TLS before a place, with a certificate that signs itself. It ends with the test's runtime.
pub(crate) struct TlsFront {
    pub(crate) address: SocketAddr,
    /// The file with the certificate.
    pub(crate) certificate: PathBuf,
}

impl TlsFront {
    /// Starts with a certificate for a host name and for 127.0.0.1.
    pub(crate) async fn start(place: SocketAddr, folder: &Path, host: &str) -> Self {
        let key: AccountKey = AccountServer::start(Backend::Sqlite).await.owner_key;
        let der = certificate_of_host(&key, host);
        let certificate = folder.join("upstream.pem");
        std::fs::write(&certificate, encode_pem("CERTIFICATE", &der)).expect("writable");
        let private = STANDARD.decode(key.private_key_base64()).expect("base64");
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(der)],
                PrivatePkcs8KeyDer::from(private).into(),
            )
            .expect("they belong together");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut upstream = TcpStream::connect(place).await.expect("it listens");
                    let _ = copy_bidirectional(&mut client, &mut upstream).await;
                });
            }
        });
        Self { address, certificate }
    }
}
