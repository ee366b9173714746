//! What command processes say to each other, in frames that begin with their length: first a greeting each way, then
//! requests one way and outcomes the other, each with its number. Many frames are written and read at once.
//!
//! The invariant: processes of another protocol or build are never talked to, so the format of requests and outcomes may
//! change with every build. A change needs another [`PROTOCOL`], which the golden file asks for. The hello never changes.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use wallex_journal::append::Reply;

/// Increase it with every change of what is sent.
pub(crate) const PROTOCOL: i32 = 1;
/// The build: what is decided and answered may differ between builds, too.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The longest frame: the largest batch is 20 MiB of JSON.
pub(crate) const MAX_FRAME: usize = 32 * 1024 * 1024;
/// The longest frame from somebody who has not said hello.
pub(crate) const MAX_HELLO: usize = 256;
/// Frames are collected up to this size before they are written.
const WRITE_SIZE: usize = 64 * 1024;

const MAGIC: &[u8; 8] = b"wallexwr";
pub(crate) const WELCOME: &[u8] = b"welcome";

pub(crate) type FramesIn = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;
pub(crate) type FramesOut = FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>;

/// Frames both ways; `longest` is the longest one that is read.
pub(crate) fn frames(stream: TcpStream, longest: usize) -> std::io::Result<(FramesIn, FramesOut)> {
    let codec = |longest| {
        LengthDelimitedCodec::builder()
            .max_frame_length(longest)
            .new_codec()
    };
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let mut frames_out = FramedWrite::new(write, codec(MAX_FRAME));
    frames_out.set_backpressure_boundary(WRITE_SIZE);
    Ok((FramedRead::new(read, codec(longest)), frames_out))
}

/// The first frame: who may talk, and how. `token` is the listener's own, so only those know it who can read the journal.
pub(crate) fn hello(token: &[u8; 32]) -> Bytes {
    let mut hello = BytesMut::new();
    hello.put_slice(MAGIC);
    hello.put_i32(PROTOCOL);
    hello.put_slice(token);
    hello.put_slice(VERSION.as_bytes());
    hello.freeze()
}

/// Whether the first frame is a hello to the owner of this token, from a process like this one. Takes the same time
/// wherever a token is wrong.
pub(crate) fn is_hello(frame: &[u8], token: &[u8; 32]) -> bool {
    // Digests are compared in constant time.
    blake3::hash(frame) == blake3::hash(&hello(token))
}

/// A request to be written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked<R> {
    /// Unique on its connection.
    pub(crate) id: u64,
    /// Until when its caller waits, by the database's clock, in microseconds since 1970: also what was on its way for long
    /// must not be begun later.
    pub(crate) deadline: i64,
    pub(crate) request: R,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) id: u64,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Reply(Reply),
    /// Not taken: the queue is full, or the time is over.
    Refused,
}

/// `None` if it is too long for a frame.
pub(crate) fn encode(message: &impl Serialize) -> Option<Bytes> {
    let bytes = postcard::to_allocvec(message).ok()?;
    (bytes.len() <= MAX_FRAME).then(|| bytes.into())
}

pub(crate) fn decode<Message: DeserializeOwned>(frame: &[u8]) -> Option<Message> {
    postcard::from_bytes(frame).ok()
}
