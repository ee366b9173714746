//! A port that can be shut and opened in front of a real server.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

/// An address that refuses connections until [`Door::open`].
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    /// Bound but not listening: connections are refused, and nobody else gets the port.
    _reserved: TcpSocket,
    open: CancellationToken,
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
        }
    }

    /// Passes connections on to `server` until [`Door::close`].
    pub(crate) fn open(&mut self, server: SocketAddr) {
        self.open = CancellationToken::new();
        let listener = self.listen();
        let open = self.open.clone();
        tokio::spawn(open.clone().run_until_cancelled_owned(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(open.clone().run_until_cancelled_owned(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }));
            }
        }));
    }

    /// Accepts connections and never sends anything on them.
    pub(crate) fn open_silent(&mut self) {
        self.open = CancellationToken::new();
        let listener = self.listen();
        tokio::spawn(self.open.clone().run_until_cancelled_owned(async move {
            let mut held = Vec::new();
            while let Ok(client) = listener.accept().await {
                held.push(client);
            }
        }));
    }

    /// Cuts every connection and refuses new ones.
    pub(crate) fn close(&self) {
        self.open.cancel();
    }

    fn listen(&self) -> TcpListener {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind(self.address).unwrap();
        socket.listen(64).unwrap()
    }
}
