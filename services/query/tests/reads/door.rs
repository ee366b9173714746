//! A port in front of the tests' Redis that can be shut, opened and held. It simulates a Redis that stops, returns or
//! freezes, without touching the one that other tests use.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use wallex_runtime::redis::Accelerator;
use wallex_runtime::{CancellationToken, Flags, Settings};

pub(crate) struct Door {
    address: SocketAddr,
    /// Bound but not listening: while shut, connections are refused and nobody else gets the port.
    _reserved: TcpSocket,
    open: CancellationToken,
    held: watch::Sender<bool>,
}

impl Door {
    pub(crate) fn shut() -> Self {
        let reserved = TcpSocket::new_v4().unwrap();
        reserved.set_reuseport(true).unwrap();
        reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            address: reserved.local_addr().unwrap(),
            _reserved: reserved,
            open: CancellationToken::new(),
            held: watch::channel(false).0,
        }
    }

    pub(crate) fn opened() -> Self {
        let mut door = Self::shut();
        door.open();
        door
    }

    /// The tests' Redis, through this door.
    pub(crate) fn url(&self) -> String {
        wallex_testing::redis().replace(&server().to_string(), &self.address.to_string())
    }

    pub(crate) fn open(&mut self) {
        self.open = CancellationToken::new();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        let (open, held) = (self.open.clone(), self.held.subscribe());
        tokio::spawn(
            open.clone()
                .run_until_cancelled_owned(accept(listener, open, held)),
        );
    }

    /// Cuts every connection and refuses new ones.
    pub(crate) fn close(&self) {
        self.open.cancel();
    }

    /// Connections stay open, but nothing passes.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Whatever was held back passes now.
    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }
}

/// A client of the Redis at `url`.
pub(crate) fn accelerator(url: &str) -> Accelerator {
    Accelerator::connect(
        &Settings::from_flags(&Flags {
            redis_url: Some(url.to_owned()),
            ..Flags::default()
        })
        .unwrap(),
    )
}

async fn accept(listener: TcpListener, open: CancellationToken, held: watch::Receiver<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        let held = held.clone();
        tokio::spawn(open.clone().run_until_cancelled_owned(async move {
            let server = TcpStream::connect(server()).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = pass(from_client, to_server, held.clone()) => {}
                () = pass(from_server, to_client, held) => {}
            }
        }));
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut bytes).await {
        if count == 0 || held.wait_for(|held| !held).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

fn server() -> SocketAddr {
    let url = wallex_testing::redis();
    let address = url.rsplit_once('@').map_or(url.as_str(), |(_, address)| address);
    address
        .trim_start_matches("redis://")
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
