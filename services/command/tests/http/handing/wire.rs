//! A wire between two command processes that can be held, cut, and cut within a frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the wire does with what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Requests get through, outcomes wait.
    HoldOutcomes,
    HoldRequests,
    /// Of the next request half gets through, then the connection ends.
    Halve,
}

#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) address: String,
    /// The mode, and how often the wire was cut.
    state: watch::Sender<(Mode, usize)>,
    /// Pieces that went through to the listener, without hellos.
    passed: Arc<AtomicUsize>,
}

impl Wire {
    pub(crate) async fn to(listener: std::net::SocketAddr) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            address: socket.local_addr().unwrap().to_string(),
            state: watch::Sender::new((Mode::Pass, 0)),
            passed: Arc::default(),
        };
        let accepting = wire.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = socket.accept().await {
                let wire = accepting.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(listener).await else {
                        return;
                    };
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    let cut = wire.cut_happens();
                    tokio::select! {
                        () = cut => {}
                        () = wire.copy(near_read, far_write, Mode::HoldRequests) => {}
                        () = wire.copy(far_read, near_write, Mode::HoldOutcomes) => {}
                    }
                });
            }
        });
        wire
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.0 = mode);
    }

    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.1 += 1);
    }

    pub(crate) fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    async fn cut_happens(&self) {
        let mut state = self.state.subscribe();
        let cuts = state.borrow_and_update().1;
        let _ = state.wait_for(|state| state.1 != cuts).await;
    }

    async fn copy(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, held: Mode) {
        let mut state = self.state.subscribe();
        let mut buffer = vec![0; 1 << 16];
        let mut first = true;
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            if state.wait_for(|state| state.0 != held).await.is_err() {
                return;
            }
            let is_request = held == Mode::HoldRequests && !first;
            if is_request && self.state.borrow().0 == Mode::Halve {
                let _ = to.write_all(&buffer[..n / 2]).await;
                return;
            }
            if to.write_all(&buffer[..n]).await.is_err() {
                return;
            }
            if is_request {
                self.passed.fetch_add(1, Ordering::SeqCst);
            }
            first = false;
        }
    }
}
