//! Takes requests from other command processes and tells them what became of each.
//!
//! The invariant: what is taken is written here and never handed on again. Everything that a stranger can send is bounded;
//! nothing is read from somebody who has not said hello.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{SinkExt, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wallex_journal::append::{Reply, Request};

use super::telling::{Teller, Telling};
use super::view::View;
use super::wire::{self, Asked, FramesIn, FramesOut, MAX_FRAME, MAX_HELLO, Outcome, Told, WELCOME};
use crate::queue::{Enqueue, ReplyTo};

/// To say hello.
const HANDSHAKE: Duration = Duration::from_secs(1);
/// Connections that have not said hello, and those that have.
const STRANGERS: usize = 16;
const CONNECTIONS: usize = 64;
/// Longer than the other side keeps a connection without requests.
const IDLE: Duration = Duration::from_secs(120);
/// For what was told to be taken from the wire.
const WRITING: Duration = Duration::from_secs(5);
/// Requests of one connection at once; further ones are not read.
const IN_HAND: usize = 20_000;
/// Outcomes that are written together.
const MANY: usize = 512;

/// What every connection needs.
pub(crate) struct Listening {
    pub(crate) token: [u8; 32],
    pub(crate) enqueue: Enqueue,
    pub(crate) view: Arc<View>,
    /// No more requests are read; what was taken is told.
    pub(crate) stop: CancellationToken,
}

/// Accepts connections until `stop`, and returns when what was taken has been told.
pub(crate) async fn listen(listener: TcpListener, listening: Arc<Listening>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = listening.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection from another command process could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // One too many is closed at once: the other side writes itself.
        let Ok(stranger) = strangers.clone().try_acquire_owned() else {
            continue;
        };
        let (listening, connections) = (listening.clone(), connections.clone());
        tasks.spawn(async move {
            let greeted = timeout(HANDSHAKE, greet(stream, &listening.token)).await;
            drop(stranger);
            let Ok(Ok((requests, outcomes))) = greeted else {
                tracing::debug!(
                    "a connection was closed that is not from a command process of this journal and build"
                );
                return;
            };
            if let Ok(_connection) = connections.try_acquire() {
                serve(requests, outcomes, &listening).await;
            }
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn greet(stream: TcpStream, token: &[u8; 32]) -> io::Result<(FramesIn, FramesOut)> {
    let (mut requests, mut outcomes) = wire::frames(stream, MAX_HELLO)?;
    let hello = requests.next().await.transpose()?;
    if !hello.is_some_and(|frame| wire::is_hello(&frame, token)) {
        return Err(io::Error::other("no hello"));
    }
    requests.decoder_mut().set_max_frame_length(MAX_FRAME);
    outcomes.send(Bytes::from_static(WELCOME)).await?;
    Ok((requests, outcomes))
}

/// Until the other side ends, or until told to stop; in that case everything that was taken is told first.
async fn serve(mut requests: FramesIn, mut outcomes: FramesOut, listening: &Listening) {
    let (told, mut telling) = mpsc::unbounded_channel();
    let read = async move {
        let in_hand = Arc::new(Semaphore::new(IN_HAND));
        loop {
            let frame = tokio::select! {
                () = listening.stop.cancelled() => return true,
                frame = timeout(IDLE, requests.next()) => match frame {
                    Ok(Some(Ok(frame))) => frame,
                    Ok(Some(Err(_)) | None) => return false,
                    // It may just have nothing to say while it waits for us.
                    Err(_) if in_hand.available_permits() < IN_HAND => continue,
                    Err(_) => return false,
                },
            };
            let Some(asked): Option<Asked<Request>> = wire::decode(&frame) else {
                tracing::error!("another command process says what this one does not understand");
                return false;
            };
            // Never closed.
            let place = in_hand.clone().acquire_owned().await.ok();
            let teller = Teller::new(asked.id, told.clone(), place);
            take(asked, teller, listening);
        }
    };
    let write = async {
        let mut many = Vec::new();
        while telling.recv_many(&mut many, MANY).await > 0 {
            let write = async {
                for Telling { told, .. } in &many {
                    // What is too long to be told is found by its key.
                    let too_long = Told {
                        id: told.id,
                        outcome: Outcome::Reply(Reply::OutcomeUnknown),
                    };
                    if let Some(frame) = wire::encode(told).or_else(|| wire::encode(&too_long)) {
                        outcomes.feed(frame).await?;
                    }
                }
                SinkExt::<Bytes>::flush(&mut outcomes).await
            };
            match timeout(WRITING, write).await {
                Ok(Ok(())) => many.clear(),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    };
    tokio::pin!(write);
    tokio::select! {
        stopped = read => if stopped {
            // Ends when everything that was taken has been told.
            write.await;
        },
        () = &mut write => {}
    }
}

fn take(asked: Asked<Request>, teller: Teller, listening: &Listening) {
    let now = Instant::now();
    let left = listening
        .view
        .clock(now)
        .map(|clock| asked.deadline.saturating_sub(clock))
        .and_then(|left| u64::try_from(left).ok())
        .filter(|left| *left > 0);
    match left {
        Some(left) => {
            let deadline = now + Duration::from_micros(left).min(listening.enqueue.timeout);
            let refused = listening
                .enqueue
                .put(asked.request, ReplyTo::Process(teller), deadline);
            if let Err(ReplyTo::Process(teller)) = refused {
                teller.refuse();
            }
        }
        None => teller.refuse(),
    }
}
