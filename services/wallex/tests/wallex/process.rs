//! Processes of the binary: started with settings, observed through their log, queried over HTTP, killed at the end.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wallex_testing::{eventually, unique_name};

pub(crate) use wallex_testing::DEADLINE;

pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    pub(crate) port: u16,
}

/// A port that was free a moment ago and stays unused by others across a restart: below 32768, where the kernel's range
/// for outgoing connections begins (one of those could take it while its process restarts), and handed out only once in
/// this test run.
pub(crate) fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(20_000..30_000)));
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_768, "no port is free");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn wallex() -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_wallex")))
}

/// The load generator. Its own test ensures that every run of the workspace's tests builds it.
pub(crate) fn bench() -> Command {
    let bench = Path::new(env!("CARGO_BIN_EXE_wallex")).with_file_name("wallex-bench");
    assert!(
        bench.exists(),
        "{} is built by `cargo test --workspace`",
        bench.display()
    );
    program(&bench)
}

fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    // Only settings made by the test count.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("WALLEX_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// The binary, with this limit of open files.
pub(crate) fn wallex_with_files(files: usize) -> Command {
    let wallex = wallex();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")])
        .arg(wallex.get_program());
    // Variables removed from one are removed from the other.
    for (name, _) in wallex.get_envs() {
        shell.env_remove(name);
    }
    shell
}

impl Process {
    /// Starts a role that listens on `port`.
    pub(crate) fn start(arguments: &[&str], port: u16, settings: &[(&str, &str)]) -> Self {
        Self::start_by(wallex(), arguments, port, settings)
    }

    pub(crate) fn start_by(
        mut wallex: Command,
        arguments: &[&str],
        port: u16,
        settings: &[(&str, &str)],
    ) -> Self {
        let log = std::env::temp_dir().join(unique_name("wallex-log"));
        let file = File::create(&log).unwrap();
        let child = wallex
            .args(arguments)
            .env("WALLEX_LISTEN", format!("127.0.0.1:{port}"))
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log, port }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line of the log.
    pub(crate) async fn says(&self, text: &str) {
        let seen = eventually(DEADLINE, text, async || {
            let log = self.log();
            log.contains(text).then_some(())
        });
        seen.await;
    }

    /// Status of a GET; `None` while there is no answer.
    pub(crate) async fn get(&self, path: &str) -> Option<u16> {
        self.read(path).await.map(|(status, _)| status)
    }

    /// Status and whole response of a GET; `None` while there is no answer.
    pub(crate) async fn read(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Some((answer.split(' ').nth(1)?.parse().ok()?, answer))
    }

    pub(crate) async fn ready(&self) {
        let log = self.log.clone();
        let what = format!("readiness; the log is {}", log.display());
        eventually(DEADLINE, &what, async || {
            (self.get("/health/ready").await == Some(200)).then_some(())
        })
        .await;
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// SIGKILL, as from the kernel or when a node fails.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Resident memory in MiB: now, and the peak so far (proc(5)).
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually(DEADLINE, "the end of the process", async || {
            child.try_wait().unwrap()
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
        let _ = std::fs::remove_file(&self.log);
    }
}
