//! The test's own Redis, and what may be done to it. It is killed with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use wallex_testing::{eventually, unique_name};

use crate::process::{DEADLINE, free_port};

/// Removes everything. Returns the number of keys.
const FLUSH: &str = "
local keys = redis.call('DBSIZE')
redis.call('FLUSHALL')
return keys";

/// Number of kinds of values that [`POISON`] writes.
pub(super) const POISONS: u64 = 4;

/// Replaces every cache entry: with noise, with another wallet's entry, with a value of another type, with itself but
/// another balance. Returns the number of entries.
const POISON: &str = "
local keys, values = redis.call('KEYS', 'wallex:*:wallet:*'), {}
for index, key in ipairs(keys) do
  local value = redis.pcall('GET', key)
  values[index] = type(value) == 'string' and value or 'garbage'
end
for index, key in ipairs(keys) do
  local kind = index % 4
  if kind == 0 then redis.call('SET', key, 'garbage')
  elseif kind == 1 then redis.call('SET', key, values[index % #keys + 1])
  elseif kind == 2 then redis.call('DEL', key) redis.call('RPUSH', key, values[index])
  else redis.call('SET', key, (string.gsub(values[index], '\"balance\":%d+', '\"balance\":999'))) end
end
return #keys";

pub(super) struct Redis {
    child: Child,
    port: u16,
    directory: PathBuf,
}

impl Redis {
    pub(super) async fn start() -> Self {
        let directory = std::env::temp_dir().join(unique_name("wallex-redis"));
        std::fs::create_dir(&directory).unwrap();
        let port = free_port();
        let redis = Self {
            child: spawn(port, &directory),
            port,
            directory,
        };
        redis.answers().await;
        redis
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Removed at the end.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Empty, where it was.
    pub(super) async fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory);
        self.answers().await;
    }

    /// How many keys were removed.
    pub(super) async fn flush(&self) -> u64 {
        self.number(&["EVAL", FLUSH, "0"]).await
    }

    /// How many cache entries are no longer valid.
    pub(super) async fn poison(&self) -> u64 {
        self.number(&["EVAL", POISON, "0"]).await
    }

    /// Closes all clients' connections. Returns how many.
    pub(super) async fn cut_off(&self) -> u64 {
        self.number(&["CLIENT", "KILL", "TYPE", "pubsub"]).await
            + self.number(&["CLIENT", "KILL", "TYPE", "normal"]).await
    }

    async fn answers(&self) {
        eventually(DEADLINE, "Redis", async || {
            (self.ask(&["PING"]).await? == "+PONG").then_some(())
        })
        .await;
    }

    async fn number(&self, command: &[&str]) -> u64 {
        let answer = self.ask(command).await.unwrap();
        let number = answer.strip_prefix(':').and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("{command:?}: {answer}"))
    }

    /// The first line of the answer; `None` while there is no answer.
    async fn ask(&self, command: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let mut request = format!("*{}\r\n", command.len());
        for part in command {
            request.push_str(&format!("${}\r\n{part}\r\n", part.len()));
        }
        stream.write_all(request.as_bytes()).await.ok()?;
        BufReader::new(stream).lines().next_line().await.ok()?
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too.
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Comes with Debian's package `redis-server`.
fn spawn(port: u16, directory: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
