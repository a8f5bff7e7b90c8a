//! HTTP/1.1, as little of it as the tests need, written out so that they do not lean on the gateway's own stack.
//!
//! One message has a head of at most [`HEAD_BYTES_MAX`] and a body with a length or up to the end of the
//! connection. Chunked bodies are not read: a request of HTTP/1.0 never gets one.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest head.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// How long a peer may be silent before the test gives it up.
const PATIENCE: Duration = Duration::from_secs(15);

/// Most bytes of a body that are shown when a test fails.
const SHOWN_BYTES_MAX: usize = 300;

/// A head and a body: a request that came in, or an answer.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The first line, for example `HTTP/1.1 202 Accepted`.
    pub(crate) first_line: String,
    headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The value of a header; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// All headers, names in lower case.
    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The second word of the first line: the path of a request.
    pub(crate) fn path(&self) -> &str {
        self.first_line.split(' ').nth(1).unwrap_or_default()
    }

    /// The status of an answer; 0 if there is none.
    pub(crate) fn status(&self) -> u16 {
        self.path().parse().unwrap_or(0)
    }

    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.body.len().min(SHOWN_BYTES_MAX);
        let body = String::from_utf8_lossy(&self.body[..shown]);
        write!(f, "{} {:?} {body:?}", self.first_line, self.headers)
    }
}

/// A connection with one message under way at a time.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `to`.
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect_timeout(&to, PATIENCE)?)
    }

    /// Speaks over `stream`.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads the answer. `headers` are whole lines without their ends.
    pub(crate) fn ask(
        &mut self,
        request: &str,
        headers: &[String],
        body: &[u8],
    ) -> io::Result<Message> {
        self.send(request, headers, body)?;
        let head = self.read_head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        // The answer to HEAD tells a length and has no body.
        if request.starts_with("HEAD ") {
            Ok(head)
        } else {
            self.read_body(head)
        }
    }

    /// Sends a message with a body and its length.
    pub(crate) fn send(
        &mut self,
        first_line: &str,
        headers: &[String],
        body: &[u8],
    ) -> io::Result<()> {
        let mut bytes = format!("{first_line}\r\ncontent-length: {}\r\n", body.len()).into_bytes();
        for header in headers {
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.send_bytes(&bytes)
    }

    /// Sends `bytes` as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads a whole message; `None` when the peer closed before the first byte of one.
    pub(crate) fn read(&mut self) -> io::Result<Option<Message>> {
        self.read_head()?
            .map(|head| self.read_body(head))
            .transpose()
    }

    fn read_head(&mut self) -> io::Result<Option<Message>> {
        let mut message = Message::default();
        loop {
            let mut line = String::new();
            (&mut self.stream)
                .take(HEAD_BYTES_MAX)
                .read_line(&mut line)?;
            let text = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() && message.first_line.is_empty() {
                return Ok(None);
            } else if !line.ends_with('\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            } else if message.first_line.is_empty() {
                text.clone_into(&mut message.first_line);
            } else if let Some((name, value)) = text.split_once(':') {
                message
                    .headers
                    .push((name.to_ascii_lowercase(), value.trim().to_owned()));
            } else {
                return Ok(Some(message));
            }
        }
    }

    fn read_body(&mut self, mut message: Message) -> io::Result<Message> {
        match message
            .header("content-length")
            .and_then(|length| length.parse().ok())
        {
            Some(length) => {
                message.body.resize(length, 0);
                self.stream.read_exact(&mut message.body)?;
            }
            None if message.first_line.starts_with("HTTP/") => {
                self.stream.read_to_end(&mut message.body)?;
            }
            None => {}
        }
        Ok(message)
    }
}

/// One request on a connection of its own.
pub(crate) fn ask_once(
    to: SocketAddr,
    method_and_path: &str,
    headers: &[String],
    body: &[u8],
) -> io::Result<Message> {
    let line = format!("{method_and_path} HTTP/1.0");
    let mut headers = headers.to_vec();
    headers.push(format!("host: {to}"));
    Connection::open(to)?.ask(&line, &headers, body)
}
