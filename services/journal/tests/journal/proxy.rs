//! Proxies between writer and server: one cuts the connection around a COMMIT, one holds back bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens to a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// It never reaches the server.
    Before,
    /// The server commits; the answer never comes back.
    After,
}

/// The port of a proxy to `server` that breaks the connection at the first `times` COMMITs.
pub(crate) async fn breaking(server: (String, u16), how: Break, times: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let left = Arc::new(AtomicUsize::new(times));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, left) = (server.clone(), left.clone());
            tokio::spawn(async move {
                let upstream = TcpStream::connect(server).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = upstream.into_split();
                let back =
                    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut buffer = vec![0; 1 << 16];
                while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
                    let commit = buffer[..n].windows(7).any(|window| window == b"COMMIT\0");
                    let breaks = commit
                        && left
                            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                            .is_ok();
                    if breaks {
                        // Nothing is sent back any more; then the connection is cut.
                        back.abort();
                        if how == Break::After {
                            let _ = to_server.write_all(&buffer[..n]).await;
                            let _ = to_server.shutdown().await;
                        }
                        return;
                    }
                    if to_server.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// A proxy that can hold back what the client sends, at any byte.
pub(crate) struct Gate {
    pub(crate) port: u16,
    state: Arc<GateState>,
}

#[derive(Default)]
struct GateState {
    /// Bytes from the client that were passed on.
    passed: AtomicUsize,
    /// How many may be passed on in all.
    limit: AtomicUsize,
    /// So many bytes of the next message wait.
    holds_back: AtomicUsize,
    /// The connection that sends next waits alone.
    holds_next: AtomicBool,
    opened: Notify,
}

impl Gate {
    /// Open.
    pub(crate) async fn before(server: (String, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(GateState::default());
        state.limit.store(usize::MAX, Ordering::SeqCst);
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(server.clone()).await.unwrap();
                upstream.set_nodelay(true).unwrap();
                tokio::spawn(through(client, upstream, shared.clone()));
            }
        });
        Self { port, state }
    }

    pub(crate) fn passed(&self) -> usize {
        self.state.passed.load(Ordering::SeqCst)
    }

    /// Lets the next message through except for its last bytes, and closes.
    pub(crate) fn hold_back(&self, bytes: usize) {
        self.state.holds_back.store(bytes, Ordering::SeqCst);
    }

    /// Whether a message waits because of that.
    pub(crate) fn is_closed(&self) -> bool {
        self.passed() == self.state.limit.load(Ordering::SeqCst)
    }

    /// Holds back the next bytes until the gate is opened, and with them their connection, but no other.
    pub(crate) fn hold_next(&self) {
        self.state.holds_next.store(true, Ordering::SeqCst);
    }

    /// Whether a connection waits because of that.
    pub(crate) fn holds_one(&self) -> bool {
        !self.state.holds_next.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) {
        self.state.limit.store(usize::MAX, Ordering::SeqCst);
        self.state.opened.notify_waiters();
    }
}

async fn through(client: TcpStream, upstream: TcpStream, gate: Arc<GateState>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
        let mut sent = 0;
        let opened = gate.opened.notified();
        if gate.holds_next.swap(false, Ordering::SeqCst) {
            opened.await;
        }
        let back = gate.holds_back.swap(0, Ordering::SeqCst);
        if back > 0 {
            let limit = gate.passed.load(Ordering::SeqCst) + n.saturating_sub(back);
            gate.limit.store(limit, Ordering::SeqCst);
        }
        while sent < n {
            let opened = gate.opened.notified();
            let room = gate.limit.load(Ordering::SeqCst) - gate.passed.load(Ordering::SeqCst);
            let next = room.min(n - sent);
            if next == 0 {
                opened.await;
                continue;
            }
            if to_server.write_all(&buffer[sent..sent + next]).await.is_err() {
                return;
            }
            sent += next;
            gate.passed.fetch_add(next, Ordering::SeqCst);
        }
    }
}
