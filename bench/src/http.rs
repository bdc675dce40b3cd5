//! The part of HTTP/1.1 that a measurement needs, with as little cost of its own as possible.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

/// A connection that stays open over several requests.
pub(crate) struct Connection {
    address: String,
    reader: BufReader<TcpStream>,
}

/// A response whose body has been read.
pub(crate) struct Response {
    pub(crate) status: u16,
    location: Option<String>,
}

impl Response {
    /// Returns the path of the `Location` header. Some registries send a whole URL there.
    pub(crate) fn location(&self) -> Result<String> {
        let location = self.location.as_deref().context("the response has no Location")?;
        let path = location
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|start| &rest[start..]));
        Ok(path.unwrap_or(location).to_owned())
    }
}

/// The head of a response.
struct ResponseHead {
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

    /// Sends the head of a request. The caller sends the body by `send`, and then calls `read_response`.
    pub(crate) fn send_head(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
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
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        self.send_head(method, path, headers, body.len())?;
        self.send(body)?;
        self.read_response()
    }

    pub(crate) fn read_response(&mut self) -> Result<Response> {
        let head = self.read_head()?;
        match head.length {
            Some(length) => self.skip(length, &mut [0; 8192]).map(|_| ())?,
            None => self.skip_chunks()?,
        }
        Ok(Response { status: head.status, location: head.location })
    }

    /// Downloads content and discards it. Returns its length.
    pub(crate) fn download(&mut self, path: &str) -> Result<u64> {
        self.send_head("GET", path, &[], 0)?;
        let head = self.read_head()?;
        ensure!(head.status == 200, "GET {path}: {}", head.status);
        self.skip(head.length.context("the response has no Content-Length")?, &mut vec![0; 1 << 20])
    }

    fn read_head(&mut self) -> Result<ResponseHead> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status: u16 = line.split(' ').nth(1).context("no response")?.parse()?;
        let bodiless = matches!(status, 100..=199 | 204 | 304);
        let mut head = ResponseHead { status, location: None, length: bodiless.then_some(0) };
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
            let max = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.reader.read(&mut buffer[..max])?;
            ensure!(read > 0, "the response ended early");
            left -= read as u64;
        }
        Ok(length)
    }

    fn skip_chunks(&mut self) -> Result<()> {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim(), 16).context("the length of a chunk")?;
            self.skip(length + 2, &mut [0; 8192])?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}
