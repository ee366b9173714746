//! A Redis that accepts only TLS, with certificates from its own authority.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tracing::Level;
use wallex_runtime::redis::{Accelerator, Heard};
use wallex_runtime::{Flags, Settings};
use wallex_testing::{eventually, unique_name};

use crate::DEADLINE;
use crate::lines::Lines;

const PASSWORD: &str = "hunter2";

struct Server {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(unique_name("wallex-redis-tls"));
        fs::create_dir(&folder).unwrap();
        authority(&folder, "ca");
        authority(&folder, "other");
        // For the address, and for no name.
        fs::write(folder.join("names"), "subjectAltName = IP:127.0.0.1").unwrap();
        openssl(
            &folder,
            "req -new -newkey rsa:2048 -nodes -subj /CN=redis -keyout server.key -out server.csr",
        );
        openssl(
            &folder,
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--tls-port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
            ])
            .args(["--tls-cert-file", "server.crt", "--tls-key-file", "server.key"])
            .args(["--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "no"])
            .args(["--requirepass", PASSWORD, "--save", "", "--appendonly", "no"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            folder,
            port,
        }
    }

    fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://:{PASSWORD}@{host}:{}/0", self.port)
    }

    fn certificate(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{name}.crt"))).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn authority(folder: &Path, name: &str) {
    let subject = format!("/CN=wallex-test-{name}");
    openssl(
        folder,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj {subject} -keyout {name}.key -out {name}.crt"
        ),
    );
}

fn openssl(folder: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn accelerator(url: String, authorities: Option<String>) -> Accelerator {
    let flags = Flags {
        redis_url: Some(url),
        redis_ca: authorities,
        ..Flags::default()
    };
    Accelerator::connect(&Settings::from_flags(&flags).unwrap())
}

#[tokio::test]
async fn redis_is_reached_by_tls() {
    let server = Server::start();
    let file = server.folder.join("ca.crt").to_str().unwrap().to_owned();
    let by_file = accelerator(server.url("rediss", "127.0.0.1"), Some(file));
    let accelerator = accelerator(server.url("rediss", "127.0.0.1"), Some(server.certificate("ca")));
    for accelerator in [&by_file, &accelerator] {
        eventually(DEADLINE, "Redis", async || accelerator.alive().then_some(())).await;
    }
    assert!(accelerator.set_px("key", b"value", Duration::from_secs(60)).await);
    assert_eq!(accelerator.get("key").await, Some(b"value".to_vec()));
    let mut subscription = accelerator.subscribe("channel");
    assert_eq!(subscription.next().await, Heard::Connected);
    assert!(accelerator.publish("channel", b"news").await);
    assert_eq!(subscription.next().await, Heard::Message(b"news".to_vec()));
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_not_used() {
    let server = Server::start();
    let (ca, other) = (server.certificate("ca"), server.certificate("other"));
    for (url, authorities, words) in [
        // Which authorities the system trusts is unknown here, but this is not one of them.
        (server.url("rediss", "127.0.0.1"), None, "certificate"),
        (server.url("rediss", "127.0.0.1"), Some(other), "certificate"),
        (server.url("rediss", "localhost"), Some(ca), "certificate"),
        (server.url("redis", "127.0.0.1"), None, "continuing without it"),
    ] {
        let lines = Lines::collect(Level::DEBUG);
        let accelerator = accelerator(url.clone(), authorities);
        eventually(DEADLINE, "the reason", async || {
            lines.with(&["WARN", "redis_url", words]).pop()
        })
        .await;
        assert!(!accelerator.alive(), "{url}");
        assert!(lines.with(&[PASSWORD]).is_empty(), "{:?}", lines.all());
    }
}

#[tokio::test]
async fn authorities_that_are_none_are_named() {
    for pem in [
        "hunter2",
        "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----",
    ] {
        let lines = Lines::collect(Level::DEBUG);
        let accelerator = accelerator("rediss://:hunter2@127.0.0.1:1/0".to_owned(), Some(pem.to_owned()));
        assert_eq!(lines.with(&["ERROR", "redis_ca"]).len(), 1, "{:?}", lines.all());
        assert!(lines.with(&["hunter2"]).is_empty(), "{:?}", lines.all());
        assert!(!accelerator.alive());
    }
}
