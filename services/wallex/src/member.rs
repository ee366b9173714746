//! A command process joins the others of its platform: it listens to them, and says where it is reached.
//!
//! The invariant: whatever is wrong here, the process works; it then writes what it is asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sqlx::PgPool;
use tokio::net::{TcpListener, UdpSocket, lookup_host};
use wallex_command::{Batcher, Member, MemberConfig};
use wallex_runtime::{CancellationToken, Settings};

/// `None` if it is not set, or not possible.
pub(crate) async fn join(
    settings: &Settings,
    batcher: &Batcher,
    journal: &PgPool,
    shutdown: &CancellationToken,
) -> Option<Member> {
    let listen = settings.internal_listen?;
    let bound = async {
        let listener = TcpListener::bind(listen).await?;
        let address = address(settings, listener.local_addr()?, journal).await?;
        Ok::<_, io::Error>((listener, address))
    };
    match bound.await {
        Ok((listener, address)) => {
            tracing::info!(%listen, address, "other command processes are listened to");
            let config = MemberConfig {
                address,
                preferred_writers: settings.preferred_writers,
            };
            let shutdown = shutdown.clone();
            Some(Member::start(
                batcher,
                journal.clone(),
                listener,
                config,
                shutdown,
            ))
        }
        Err(error) => {
            tracing::error!(
                %error, %listen,
                "other command processes cannot be listened to: this one writes what it is asked, and slows them down; \
                 see internal_listen and internal_host"
            );
            None
        }
    }
}

/// Where others reach what listens here.
async fn address(settings: &Settings, listens: SocketAddr, journal: &PgPool) -> io::Result<String> {
    let port = listens.port();
    if let Some(host) = &settings.internal_host {
        return Ok(match host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port).to_string(),
            Err(_) => format!("{host}:{port}"),
        });
    }
    if !listens.ip().is_unspecified() {
        return Ok(listens.to_string());
    }
    let options = journal.connect_options();
    let mut found = Err(io::Error::other("the database's host has no address"));
    for database in lookup_host((options.get_host(), options.get_port())).await? {
        found = towards(database).await;
        if let Ok(own) = found {
            return Ok(SocketAddr::new(own, port).to_string());
        }
    }
    found.map(|own| SocketAddr::new(own, port).to_string())
}

/// This machine's address on the way to another one. Nothing is sent.
async fn towards(other: SocketAddr) -> io::Result<IpAddr> {
    let any = match other {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(other).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use wallex_runtime::Flags;

    use super::*;

    async fn of(host: Option<&str>, listens: &str) -> String {
        let mut settings = Settings::from_flags(&Flags::default()).unwrap();
        settings.internal_host = host.map(str::to_owned);
        let journal = PgPool::connect_lazy("postgres://127.0.0.1:5432/wallex").unwrap();
        address(&settings, listens.parse().unwrap(), &journal)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn others_are_told_what_is_set_or_what_is_listened_on_or_the_way_to_the_database() {
        assert_eq!(of(Some("10.0.0.7"), "0.0.0.0:8081").await, "10.0.0.7:8081");
        assert_eq!(of(Some("fd00::7"), "[::]:8081").await, "[fd00::7]:8081");
        assert_eq!(
            of(Some("pod-1.wallex"), "0.0.0.0:8081").await,
            "pod-1.wallex:8081"
        );
        assert_eq!(of(None, "127.0.0.3:8081").await, "127.0.0.3:8081");
        assert_eq!(of(None, "0.0.0.0:8081").await, "127.0.0.1:8081");
    }
}
