//! Hands requests on to one other process, over one connection.
//!
//! The invariant: whoever hands a request on is told what became of it, or that it has to be written here, and in that
//! case whether the other process may have it. A process that fails is avoided for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{SinkExt, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use wallex_journal::append::{Reply, Request};
use wallex_journal::writers::LiveWriter;

use super::wire::{self, Asked, FramesIn, FramesOut, MAX_FRAME, Outcome, Told, WELCOME};
use crate::admission::{Admission, Place};

/// To connect and be welcomed.
const CONNECTING: Duration = Duration::from_millis(500);
/// A process that has requests of ours and has answered none for so long is slow, or gone. One request alone may take
/// longer: then whatever it waits for would keep it here as well.
const SLOW: Duration = Duration::from_secs(1);
/// How often to look for that.
const LOOK: Duration = Duration::from_millis(100);
/// A connection without requests is closed, by this side: the other one waits longer.
const IDLE: Duration = Duration::from_secs(30);
/// How long a process that failed is avoided: first, and at most.
const AVOIDED: Duration = Duration::from_millis(250);
const AVOIDED_AT_MOST: Duration = Duration::from_secs(8);
/// Requests that one process may have of ours at once.
const IN_HAND: usize = 10_000;
/// Requests that are taken from those that wait at once.
const MANY: usize = 512;

/// What became of a request that was handed on.
#[derive(Debug)]
pub(crate) enum HandedOn {
    Replied(Reply),
    /// The other process does not have it: it would not take it, or could not be reached.
    Refused,
    Unreachable,
    /// The other process may have it, now or later: the connection broke, or nothing came back for too long.
    Broken,
    Slow,
}

/// Another process. Clones share the connection; when the last one is dropped it ends after what is in hand.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    queue: mpsc::Sender<Handed>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: LiveWriter,
    next_id: AtomicU64,
    in_hand: Admission,
    avoided: Mutex<Avoided>,
}

#[derive(Debug, Default)]
struct Avoided {
    until: Option<Instant>,
    failures: u32,
}

/// A request on its way.
#[derive(Debug)]
struct Handed {
    id: u64,
    frame: Bytes,
    teller: Teller,
}

/// Tells what became of a request.
#[derive(Debug)]
struct Teller {
    told: oneshot::Sender<HandedOn>,
    _place: Place,
}

impl Teller {
    fn tell(self, became: HandedOn) {
        // A caller that has given up asks again with the same key.
        let _ = self.told.send(became);
    }
}

impl Peer {
    pub(crate) fn new(writer: LiveWriter) -> Self {
        let (queue, waiting) = mpsc::channel(IN_HAND);
        let shared = Arc::new(Shared {
            writer,
            next_id: AtomicU64::new(0),
            in_hand: Admission::new(IN_HAND),
            avoided: Mutex::default(),
        });
        tokio::spawn(hand_on(waiting, shared.clone()));
        Self { queue, shared }
    }

    pub(crate) fn writer(&self) -> &LiveWriter {
        &self.shared.writer
    }

    /// Whether it failed a moment ago.
    pub(crate) fn is_avoided(&self) -> bool {
        self.shared.is_avoided()
    }

    /// Hands a request on until `deadline` by the database's clock. `None` if it has too many, or this one is too large.
    pub(crate) fn hand_on(&self, request: &Request, deadline: i64) -> Option<oneshot::Receiver<HandedOn>> {
        let place = self.shared.in_hand.enter(1)?;
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let asked = Asked {
            id,
            deadline,
            request,
        };
        let frame = wire::encode(&asked)?;
        let (told, became) = oneshot::channel();
        let teller = Teller { told, _place: place };
        self.queue.try_send(Handed { id, frame, teller }).ok()?;
        Some(became)
    }
}

impl Shared {
    fn avoided(&self) -> MutexGuard<'_, Avoided> {
        self.avoided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_avoided(&self) -> bool {
        self.avoided().until.is_some_and(|until| Instant::now() < until)
    }

    fn failed(&self) {
        let mut avoided = self.avoided();
        let pause = AVOIDED.saturating_mul(1 << avoided.failures.min(10));
        avoided.until = Some(Instant::now() + pause.min(AVOIDED_AT_MOST));
        avoided.failures += 1;
    }

    fn answered(&self) {
        self.avoided().failures = 0;
    }
}

/// Hands on what waits until nobody can hand on any more.
async fn hand_on(mut waiting: mpsc::Receiver<Handed>, shared: Arc<Shared>) {
    while let Some(first) = waiting.recv().await {
        if shared.is_avoided() {
            first.teller.tell(HandedOn::Unreachable);
            continue;
        }
        let connection = timeout(CONNECTING, connect(&shared.writer)).await;
        let failure = match connection {
            Ok(Ok((read, write))) => match converse(read, write, first, &mut waiting, &shared).await {
                Ok(()) => continue,
                Err(failure) => failure,
            },
            Ok(Err(error)) => {
                first.teller.tell(HandedOn::Unreachable);
                error.to_string()
            }
            Err(_) => {
                first.teller.tell(HandedOn::Unreachable);
                "no connection in time".to_owned()
            }
        };
        shared.failed();
        tracing::warn!(writer = ?shared.writer, failure, "commands cannot be handed on: they are written here for a while");
        while let Ok(handed) = waiting.try_recv() {
            handed.teller.tell(HandedOn::Unreachable);
        }
    }
}

async fn connect(writer: &LiveWriter) -> std::io::Result<(FramesIn, FramesOut)> {
    let stream = TcpStream::connect(&writer.address).await?;
    let (mut replies, mut requests) = wire::frames(stream, MAX_FRAME)?;
    requests.send(wire::hello(&writer.token)).await?;
    match replies.next().await {
        Some(Ok(frame)) if frame == WELCOME => Ok((replies, requests)),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Err(std::io::Error::other("not welcome")),
    }
}

/// Requests that the other process may have.
#[derive(Default)]
struct Sent {
    tellers: HashMap<u64, Teller>,
    /// Since when it has requests and has answered none.
    silent_since: Option<Instant>,
}

impl Sent {
    fn insert(&mut self, id: u64, teller: Teller) {
        self.silent_since.get_or_insert_with(Instant::now);
        self.tellers.insert(id, teller);
    }

    fn answered(&mut self, id: u64) -> Option<Teller> {
        let teller = self.tellers.remove(&id);
        self.silent_since = (!self.tellers.is_empty()).then(Instant::now);
        teller
    }

    fn is_slow(&self) -> bool {
        self.silent_since.is_some_and(|since| since.elapsed() >= SLOW)
    }
}

/// Hands requests on over one connection. `Err` if that failed; all requests are told of.
async fn converse(
    mut replies: FramesIn,
    mut requests: FramesOut,
    first: Handed,
    waiting: &mut mpsc::Receiver<Handed>,
    shared: &Shared,
) -> Result<(), String> {
    let sent = Mutex::new(Sent::default());
    let lock = || sent.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = {
        let write = async {
            let mut many = vec![first];
            loop {
                for handed in many.drain(..) {
                    if !handed.teller.told.is_closed() {
                        // From here on, the other process may have it.
                        lock().insert(handed.id, handed.teller);
                        requests.feed(handed.frame).await?;
                    }
                }
                SinkExt::<Bytes>::flush(&mut requests).await?;
                match timeout(IDLE, waiting.recv_many(&mut many, MANY)).await {
                    Ok(0) => return Ok::<(), std::io::Error>(()),
                    Ok(_) => {}
                    Err(_) if lock().tellers.is_empty() => return Ok(()),
                    Err(_) => {}
                }
            }
        };
        let read = async {
            let mut look = interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // First what is there: this process may have stood still, not the other one.
                    biased;
                    frame = replies.next() => {
                        let frame = frame.ok_or("the connection ended")?.map_err(|error| error.to_string())?;
                        let told: Told = wire::decode(&frame).ok_or("not understood")?;
                        shared.answered();
                        if let Some(teller) = lock().answered(told.id) {
                            teller.tell(match told.outcome {
                                Outcome::Reply(reply) => HandedOn::Replied(reply),
                                Outcome::Refused => HandedOn::Refused,
                            });
                        }
                    }
                    _ = look.tick() => if lock().is_slow() {
                        return Err::<(), String>(String::new());
                    }
                }
            }
        };
        tokio::pin!(read);
        tokio::select! {
            ended = &mut read => ended,
            written = write => match written {
                Err(error) => Err(error.to_string()),
                // Nobody hands on any more, or nobody has for long.
                Ok(()) => loop {
                    if lock().tellers.is_empty() {
                        break Ok(());
                    }
                    if let Ok(ended) = timeout(LOOK, &mut read).await {
                        break ended;
                    }
                },
            },
        }
    };
    let sent = sent.into_inner().unwrap_or_else(PoisonError::into_inner);
    let is_slow = ended.as_ref().is_err_and(String::is_empty);
    let is_over = sent.tellers.is_empty();
    for teller in sent.tellers.into_values() {
        teller.tell(if is_slow { HandedOn::Slow } else { HandedOn::Broken });
    }
    match ended {
        Err(_) if is_slow => Err("it has answered nothing for a second".to_owned()),
        // The other process ends, or has waited for longer than this one.
        Err(failure) if !is_over => Err(failure),
        Err(_) | Ok(()) => Ok(()),
    }
}
