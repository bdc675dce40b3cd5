//! As much of HTTP/1.1 as a measurement needs, and nothing that costs time of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

/// A connection that is kept open.
pub(crate) struct Connection {
    address: String,
    reader: BufReader<TcpStream>,
}

/// An answer, its body read.
pub(crate) struct Reply {
    pub(crate) status: u16,
    location: Option<String>,
}

impl Reply {
    /// The path that `Location` gives; some registries give a whole URL.
    pub(crate) fn location(&self) -> Result<String> {
        let location = self.location.as_deref().context("an answer without Location")?;
        let path =
            location.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        Ok(path.unwrap_or(location).to_owned())
    }
}

/// The head of an answer.
struct Head {
    status: u16,
    location: Option<String>,
    length: Option<u64>,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { address: address.to_owned(), reader: BufReader::with_capacity(64 << 10, stream) })
    }

    /// Sends a request's head; `send` and `answer` follow.
    pub(crate) fn begin(&mut self, method: &str, path: &str, length: usize) -> Result<()> {
        self.head(method, path, (&[], length))
    }

    fn head(
        &mut self,
        method: &str,
        path: &str,
        (headers, length): (&[(&str, &str)], usize),
    ) -> Result<()> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n",
            self.address
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("accept: */*\r\n\r\n");
        self.send(head.as_bytes())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(bytes)?)
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        (headers, body): (&[(&str, &str)], &[u8]),
    ) -> Result<Reply> {
        self.head(method, path, (headers, body.len()))?;
        self.send(body)?;
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Result<Reply> {
        let head = self.read_head()?;
        match head.length {
            Some(length) => self.skip(length, &mut [0; 8192]).map(|_| ())?,
            None => self.skip_chunks()?,
        }
        Ok(Reply { status: head.status, location: head.location })
    }

    /// Asks for content and throws it away. Answers how much there was.
    pub(crate) fn discard(&mut self, path: &str) -> Result<u64> {
        self.head("GET", path, (&[], 0))?;
        let head = self.read_head()?;
        ensure!(head.status == 200, "GET {path}: {}", head.status);
        self.skip(head.length.context("content of unknown length")?, &mut vec![0; 1 << 20])
    }

    fn read_head(&mut self) -> Result<Head> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status: u16 = line.split(' ').nth(1).context("no answer")?.parse()?;
        let bodiless = matches!(status, 100..=199 | 204 | 304);
        let mut head = Head { status, location: None, length: bodiless.then_some(0) };
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(head) };
            match name.to_ascii_lowercase().as_str() {
                "location" => head.location = Some(value.trim().to_owned()),
                "content-length" => head.length = Some(value.trim().parse()?),
                _ => {}
            }
        }
    }

    fn skip(&mut self, length: u64, buffer: &mut [u8]) -> Result<u64> {
        let mut left = length;
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.reader.read(&mut buffer[..most])?;
            ensure!(read > 0, "the answer ended early");
            left -= read as u64;
        }
        Ok(length)
    }

    fn skip_chunks(&mut self) -> Result<()> {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim(), 16).context("a chunk's length")?;
            self.skip(length + 2, &mut [0; 8192])?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}
