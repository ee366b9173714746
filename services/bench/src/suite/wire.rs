//! One keep-alive HTTP/1.1 connection with one request in flight, for load alone. The generator shares its processors with
//! what it measures, so there are no allocations, header maps or timers per request. It understands only what Wallex answers:
//! a status, and a body of a given length.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room for an answer without growing: single commands are answered with about 700 bytes.
const ROOM: usize = 16 * 1024;

pub(crate) struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
}

pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// Where an answer's body is, once its head has arrived.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes up to and including the empty line.
    length: usize,
    body: usize,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: vec![0; ROOM],
        })
    }

    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream
            .write_all(request)
            .await
            .context("the request cannot be written")?;
        let mut filled = 0;
        let mut head = None;
        loop {
            if filled == self.input.len() {
                self.input.resize(filled * 2, 0);
            }
            let read = self
                .stream
                .read(&mut self.input[filled..])
                .await
                .context("the answer cannot be read")?;
            if read == 0 {
                bail!("the server closed the connection before it answered");
            }
            filled += read;
            if head.is_none() {
                head = parse(&self.input[..filled])?;
            }
            let Some(Head { status, length, body }) = head else {
                continue;
            };
            if filled > length + body {
                bail!("the server sent more than the answer");
            }
            if filled == length + body {
                return Ok(Answer {
                    status,
                    body: &self.input[length..filled],
                });
            }
        }
    }
}

/// `None` while the head is incomplete.
fn parse(input: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&input[..end]).context("the answer's head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3))
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("not an answer of HTTP/1.1: {head:.80}"))?;
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            let body = value
                .trim()
                .parse()
                .with_context(|| format!("not a length: {value}"))?;
            let length = end + 4;
            return Ok(Some(Head { status, length, body }));
        }
    }
    bail!("an answer without content-length: {head:.200}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_head_says_status_and_length() {
        let answer = b"HTTP/1.1 201 Created\r\netag: \"1\"\r\nContent-Length: 2\r\n\r\n{}";
        let head = Head {
            status: 201,
            length: answer.len() - 2,
            body: 2,
        };
        assert_eq!(parse(answer).unwrap(), Some(head));
        assert_eq!(parse(&answer[..40]).unwrap(), None);
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn an_answer_may_arrive_in_pieces_and_be_large() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let body = vec![b'x'; 3 * ROOM];
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4];
            stream.read_exact(&mut request).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            for piece in [&head.as_bytes()[..20], &head.as_bytes()[20..], &body] {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.read_exact(&mut request).await.unwrap();
        };
        let client = async {
            let mut wire = Wire::connect(address).await.unwrap();
            let answer = wire.exchange(b"ping").await.unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, 3 * ROOM));
            assert!(
                wire.exchange(b"ping").await.is_err(),
                "the server closes without an answer"
            );
        };
        tokio::join!(server, client);
    }
}
