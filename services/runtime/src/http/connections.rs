//! Who is connected: how many connections, which of them wait, for what and since when, and which must go.
//!
//! The invariant: a newcomer is admitted as long as some other connection is only waiting. The one that has waited longest
//! gives way, starting with those that have never sent a request. So connections that are held open and unused keep nobody
//! out, least of all probes. When every connection is in use, a reserve remains, on which only probes are answered; its
//! connections give way even while in use. A displaced connection starts no more requests, so its socket is free again
//! after a bounded time, and no holder of a socket waits for a client.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{IntCounterVec, IntGauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::limits::{LEAST, Limits, Patience};
use super::memory::Memory;
use crate::metrics;

/// Connections beyond the limit, for probes.
const RESERVE: usize = 16;
/// Sockets beyond those, for connections that were told to go and are not closed yet.
const CLOSING: usize = 16;
/// Pause between two checks of a connection's clock; a deadline may be met this much late.
const TICK: Duration = Duration::from_secs(2);

static OPEN: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(
        "wallex_http_connections",
        "Open client connections. Near http_max_connections: those that have been idle longest are closed for new ones; \
         add replicas, or find who holds so many.",
    )
});
static CLOSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter_vec(
        "wallex_http_connections_closed_total",
        "Connections that the server closed itself, by reason: idle is normal; head_late and answer_not_taken are slow or \
         hostile clients; displaced and refused mean that http_max_connections is reached: add replicas, or find who \
         holds so many.",
        &["reason"],
    )
});

wallex_domain::words! {
    /// Why the server closes a connection.
    pub(super) enum Reason {
        /// No request for too long.
        Idle = "idle",
        /// A head was not completed in time.
        HeadLate = "head_late",
        /// An answer was not taken in time.
        AnswerNotTaken = "answer_not_taken",
        /// Another connection was admitted instead.
        Displaced = "displaced",
        /// It came while all were in use, and asked for something other than a probe.
        Refused = "refused",
    }
}

impl Reason {
    pub(super) fn count(self) {
        CLOSED.with_label_values(&[self.as_str()]).inc();
    }
}

/// The connections of a server.
pub(super) struct Connections {
    limits: Limits,
    pub(super) memory: Arc<Memory>,
    /// One per socket that may be open, including those of displaced connections that are being closed.
    sockets: Arc<Semaphore>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    seats: HashMap<u64, Arc<Connection>>,
    /// How many of them belong to the reserve.
    reserved: usize,
    next: u64,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        // Shown from the start: a metric that appears later looks like a missing one.
        OPEN.get();
        for reason in Reason::ALL {
            CLOSED.with_label_values(&[reason.as_str()]);
        }
        Arc::new(Self {
            memory: Memory::new(limits.memory),
            sockets: Arc::new(Semaphore::new(limits.connections + RESERVE + CLOSING)),
            limits,
            open: Mutex::default(),
        })
    }

    /// Waits until one more socket may be open: displaced connections take a moment to close theirs. Never returns `None`,
    /// because the semaphore is never closed.
    pub(super) async fn socket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sockets).acquire_owned().await.ok()
    }

    /// A place for a newcomer. There always is one: probes finish at once, so whoever holds a place of the reserve for longer
    /// gives way, in use or not.
    pub(super) fn admit(self: &Arc<Self>, socket: Option<OwnedSemaphorePermit>) -> Seat {
        let mut open = self.open();
        let is_crowded = open.seats.len() - open.reserved >= self.limits.connections;
        let reserved = if !is_crowded {
            false
        } else if let Some(displaced) = open.displace() {
            displaced
        } else {
            if open.reserved >= RESERVE {
                open.displace_reserved();
            }
            true
        };
        let number = open.next;
        open.next += 1;
        let connection = Arc::new(Connection::new(reserved));
        open.seats.insert(number, Arc::clone(&connection));
        open.reserved += usize::from(reserved);
        OPEN.inc();
        Seat {
            connections: Arc::clone(self),
            number,
            connection,
            is_crowded,
            _socket: socket,
        }
    }

    /// Closes the connection that has waited longest: the process has no file descriptor left for another one.
    pub(super) fn make_room(&self) {
        self.open().displace();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Removes the longest waiter, and says whether it belonged to the reserve; `None` when nobody is waiting.
    fn displace(&mut self) -> Option<bool> {
        loop {
            let waiting = self.seats.iter().filter(|(_, seat)| !seat.is_busy());
            let (number, seat) =
                waiting.min_by_key(|(_, seat)| (seat.has_asked.load(Relaxed), seat.since.load(Relaxed)))?;
            // It may have started a request since it was examined.
            if seat.leave_if_idle() {
                let number = *number;
                return self.remove(number).map(|displaced| displaced.reserved);
            }
        }
    }

    /// Removes the connection that has been in the reserve longest.
    fn displace_reserved(&mut self) {
        let reserved = self.seats.iter().filter(|(_, seat)| seat.reserved);
        // Numbers are assigned in order.
        if let Some(number) = reserved.map(|(number, _)| *number).min()
            && let Some(displaced) = self.remove(number)
        {
            displaced.leave();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Connection>> {
        let removed = self.seats.remove(&number)?;
        self.reserved -= usize::from(removed.reserved);
        Some(removed)
    }
}

/// A connection's place; released when dropped.
pub(super) struct Seat {
    connections: Arc<Connections>,
    number: u64,
    pub(super) connection: Arc<Connection>,
    /// Every place was taken when it came.
    pub(super) is_crowded: bool,
    _socket: Option<OwnedSemaphorePermit>,
}

impl Seat {
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.connections.memory
    }

    pub(super) fn patience(&self) -> Patience {
        self.connections.limits.patience
    }

    /// Returns when the connection has to go.
    pub(super) async fn overdue(&self) -> Reason {
        let patience = self.patience();
        let tick = TICK.min(patience.head / 4);
        let mut window = (Instant::now(), 0);
        loop {
            tokio::select! {
                () = self.connection.displaced.cancelled() => return Reason::Displaced,
                () = tokio::time::sleep(tick) => {}
            }
            if let Some(late) = self.connection.late(&patience) {
                return late;
            }
            // A ready answer that nobody takes, measured over successive windows: a client that reads a byte now and
            // then is no better than one that does not read.
            let sent = self.connection.sent.load(Relaxed);
            if self.connection.offering.load(Relaxed) == 0 {
                window = (Instant::now(), sent);
            } else if window.0.elapsed() >= patience.answer {
                if sent.wrapping_sub(window.1) < LEAST {
                    return Reason::AnswerNotTaken;
                }
                window = (Instant::now(), sent);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        OPEN.dec();
        // A displaced connection has been removed already.
        self.connections.open().remove(self.number);
    }
}

/// The bit of [`Connection::asking`] that marks the connection as displaced. It shares a word with the request count, so
/// that no request starts on a connection that is being displaced at the same moment.
const GONE: usize = 1 << (usize::BITS - 1);

/// What a connection is doing. Times are in milliseconds, as [`now`] returns them.
pub(super) struct Connection {
    pub(super) reserved: bool,
    displaced: CancellationToken,
    /// Requests whose answers are not sent yet, and [`GONE`].
    asking: AtomicUsize,
    has_asked: AtomicBool,
    is_http2: AtomicBool,
    /// Since when no request is in flight.
    since: AtomicU64,
    /// When the first byte of the next head came; 0: not yet.
    head_since: AtomicU64,
    /// Answers of which a part has been handed over and not taken yet.
    offering: AtomicUsize,
    /// Bytes of answers handed over so far.
    sent: AtomicUsize,
}

impl Connection {
    fn new(reserved: bool) -> Self {
        Self {
            reserved,
            displaced: CancellationToken::new(),
            asking: AtomicUsize::new(0),
            has_asked: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            since: AtomicU64::new(now()),
            head_since: AtomicU64::new(0),
            offering: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.asking.load(Relaxed) & !GONE > 0
    }

    /// Displaced: its place belongs to another connection.
    pub(super) fn is_gone(&self) -> bool {
        self.asking.load(Relaxed) & GONE > 0
    }

    /// Whether it answers only probes.
    pub(super) fn is_spare(&self) -> bool {
        self.reserved || self.is_gone()
    }

    fn leave_if_idle(&self) -> bool {
        let idle = self.asking.compare_exchange(0, GONE, Relaxed, Relaxed).is_ok();
        if idle {
            self.displaced.cancel();
        }
        idle
    }

    fn leave(&self) {
        self.asking.fetch_or(GONE, Relaxed);
        self.displaced.cancel();
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Relaxed)
    }

    /// Bytes arrived from the client.
    pub(super) fn heard(&self) {
        // HTTP/2 frames do not indicate a request: a ping is a frame, too.
        if !self.is_busy() && !self.is_http2() && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(now(), Relaxed);
        }
    }

    /// A part of an answer is handed over, to be sent when the client takes it.
    pub(super) fn offer(&self, bytes: usize) {
        self.sent.fetch_add(bytes, Relaxed);
        self.offering.fetch_add(1, Relaxed);
    }

    /// What was handed over has been taken or given up.
    pub(super) fn taken(&self) {
        self.offering.fetch_sub(1, Relaxed);
    }

    fn late(&self, patience: &Patience) -> Option<Reason> {
        if self.is_busy() {
            return None;
        }
        let waited = |since: u64| Duration::from_millis(now().saturating_sub(since));
        let head_since = match self.head_since.load(Relaxed) {
            0 if self.has_asked.load(Relaxed) => {
                return (waited(self.since.load(Relaxed)) >= patience.idle).then_some(Reason::Idle);
            }
            0 => self.since.load(Relaxed),
            // The first head's time started with the connection.
            first => first.min(if self.has_asked.load(Relaxed) {
                first
            } else {
                self.since.load(Relaxed)
            }),
        };
        (waited(head_since) >= patience.head).then_some(Reason::HeadLate)
    }
}

/// A request in flight, from its head until its answer is handed over.
pub(super) struct Asking(pub(super) Arc<Connection>);

impl Asking {
    pub(super) fn begin(connection: &Arc<Connection>, is_http2: bool) -> Self {
        connection.asking.fetch_add(1, Relaxed);
        connection.is_http2.store(is_http2, Relaxed);
        connection.has_asked.store(true, Relaxed);
        connection.head_since.store(0, Relaxed);
        Self(Arc::clone(connection))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.since.store(now(), Relaxed);
        self.0.asking.fetch_sub(1, Relaxed);
    }
}

/// Milliseconds since the first call, from 1.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64 + 1
}
