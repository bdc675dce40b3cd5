//! A registry whose answers are bytes, which it writes to a connection as they are. So it can break the protocol.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::scripted_upstream::{AskedRequest, REGISTRY_PATH};

/// An answer, as bytes.
#[derive(Clone)]
pub(crate) struct RawAnswer {
    /// The head and the body.
    bytes: Bytes,
    /// What is sent again and again afterwards.
    endless: Option<Bytes>,
    closes: bool,
    is_for_everybody: bool,
}

impl RawAnswer {
    /// Bytes as they are.
    pub(crate) fn of_bytes(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), endless: None, closes: false, is_for_everybody: false }
    }

    /// A status with headers, each on a line, and a body.
    pub(crate) fn new(head: &str, body: impl AsRef<[u8]>) -> Self {
        let head = format!("HTTP/1.1 {}\r\n\r\n", head.trim().replace('\n', "\r\n"));
        Self::of_bytes([head.as_bytes(), body.as_ref()].concat())
    }

    /// 200 with a body of its type and length.
    pub(crate) fn content(media_type: &str, body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len();
        Self::new(&format!("200 OK\ncontent-type: {media_type}\ncontent-length: {length}"), body)
    }

    /// An answer without a body, and with one header.
    pub(crate) fn empty(status: u16, header: &str) -> Self {
        Self::new(&format!("{status} Text\ncontent-length: 0\n{header}"), "")
    }

    /// This answer, after which the connection ends.
    pub(crate) fn and_close(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The head of this answer, and so many bytes of its body. Then the connection ends.
    pub(crate) fn cut_to(self, length: usize) -> Self {
        let end = self.head_end() + length;
        Self { bytes: self.bytes.slice(..end), closes: true, ..self }
    }

    /// This answer, and another one that nobody has asked for.
    pub(crate) fn and_then(self, second: &Self) -> Self {
        Self { bytes: [&self.bytes[..], &second.bytes].concat().into(), ..self }
    }

    /// This answer, after which these bytes are sent until the client leaves.
    pub(crate) fn and_endlessly(self, bytes: impl Into<Bytes>) -> Self {
        Self { endless: Some(bytes.into()), ..self }
    }

    /// This answer for everybody, and not only for those who have the password.
    pub(crate) fn for_everybody(self) -> Self {
        Self { is_for_everybody: true, ..self }
    }

    fn head_end(&self) -> usize {
        let end = self.bytes.windows(4).position(|end| end == b"\r\n\r\n");
        end.map_or(self.bytes.len(), |end| end + 4)
    }

    async fn write(&self, stream: &mut BufReader<TcpStream>, is_head: bool) -> std::io::Result<()> {
        let end = if is_head { self.head_end() } else { self.bytes.len() };
        stream.write_all(&self.bytes[..end]).await?;
        while let Some(endless) = &self.endless {
            stream.write_all(endless).await?;
        }
        stream.flush().await
    }
}

/// The registry. It ends with the test's runtime.
pub(crate) struct LyingUpstream {
    pub(crate) address: SocketAddr,
    script: Arc<Script>,
}

struct Script {
    /// The value of `Authorization` that opens the answers.
    authorization: String,
    answers: Mutex<HashMap<String, VecDeque<RawAnswer>>>,
    asked: Mutex<Vec<AskedRequest>>,
}

impl LyingUpstream {
    /// Starts a registry that asks for a password.
    pub(crate) async fn start(authorization: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (answers, asked) = (Mutex::default(), Mutex::default());
        let script = Arc::new(Script { authorization, answers, asked });
        let played = script.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = played.clone();
                tokio::spawn(async move { script.play(BufReader::new(stream)).await });
            }
        });
        Self { address, script }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the answers to requests for a path, one after the other. The last one is repeated.
    pub(crate) fn set(&self, path: &str, answers: impl IntoIterator<Item = RawAnswer>) {
        let answers = answers.into_iter().collect();
        self.script.answers.lock().expect("no panic").insert(path.to_owned(), answers);
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<AskedRequest> {
        self.script.asked.lock().expect("no panic").clone()
    }
}

impl Script {
    /// Answers the requests of a connection.
    async fn play(&self, mut stream: BufReader<TcpStream>) {
        while let Some(asked) = read_request(&mut stream).await {
            let answer = self.answer(&asked);
            let is_head = asked.line.starts_with("HEAD ");
            self.asked.lock().expect("no panic").push(asked);
            if answer.write(&mut stream, is_head).await.is_err() || answer.closes {
                break;
            }
        }
    }

    fn answer(&self, asked: &AskedRequest) -> RawAnswer {
        let (_, path) = asked.line.split_once(' ').expect("a method and a path");
        if path == REGISTRY_PATH {
            return RawAnswer::content("application/json", "{}");
        }
        let mut answers = self.answers.lock().expect("no panic");
        let answers = answers.entry(path.to_owned()).or_default();
        let may_see = asked.authorization() == self.authorization;
        match answers.front().cloned() {
            None => RawAnswer::empty(404, "x-none: "),
            Some(next) if !next.is_for_everybody && !may_see => {
                RawAnswer::empty(401, "www-authenticate: Basic realm=\"vendor\"")
            }
            Some(next) => {
                if answers.len() > 1 {
                    answers.pop_front();
                }
                next
            }
        }
    }
}

/// Reads the head of a request. Returns `None` at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<AskedRequest> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).expect("text");
    let (first, rest) = head.split_once("\r\n").expect("a line");
    let [method, target, _] = first.split(' ').collect::<Vec<_>>()[..] else {
        panic!("no request: {first}");
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for line in rest.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a header");
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    Some(AskedRequest { line: format!("{method} {path}"), query: query.to_owned(), headers })
}
