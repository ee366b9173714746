//! `wallex dev` on a database of one's own: the whole API in one process.

use wallex_testing::{TestDatabase, eventually};

use crate::platform::text;
use crate::process::{DEADLINE, Process, free_port, wallex};

#[tokio::test]
async fn one_process_serves_writes_and_reads_and_every_balance_agrees() {
    let database = TestDatabase::empty().await;
    let port = free_port();
    let mut dev = Process::start(
        &["dev", "--port", &port.to_string()],
        port,
        &[("DATABASE_URL", database.url())],
    );
    dev.ready().await;
    let bench = wallex()
        .args([
            "bench",
            "--wallets",
            "30",
            "--operations",
            "600",
            "--workers",
            "8",
            "--seed",
            "1",
        ])
        .args([
            "--api",
            &format!("http://127.0.0.1:{port}"),
            "--database-url",
            database.url(),
        ])
        .output()
        .unwrap();
    let report = text(&bench);
    assert!(bench.status.success(), "{report}");
    assert!(report.contains("yes, by database"), "{report}");
    dev.signal("-INT");
    assert!(dev.ended().await.success(), "{}", dev.log());
}

/// As its user, without any server at hand: it brings its own, keeps the data, and leaves nothing running.
#[tokio::test]
async fn a_private_postgresql_keeps_its_data_between_runs() {
    let folder = std::env::temp_dir().join(wallex_testing::unique_name("wallex-dev"));
    let data = folder.to_string_lossy().into_owned();
    let bench = |port: u16| {
        let api = format!("http://127.0.0.1:{port}");
        let args = [
            "bench",
            "--wallets",
            "5",
            "--operations",
            "50",
            "--workers",
            "2",
            "--api",
            &api,
        ];
        let bench = wallex().args(args).output().unwrap();
        assert!(bench.status.success(), "{}", text(&bench));
    };
    for _ in 0..2 {
        let port = free_port();
        let mut dev = Process::start(&["dev", "--port", &port.to_string(), "--data", &data], port, &[]);
        dev.ready().await;
        bench(port);
        dev.signal("-INT");
        assert!(dev.ended().await.success(), "{}", dev.log());
        eventually(DEADLINE, "the private server's end", async || {
            (!folder.join("data/postmaster.pid").exists()).then_some(())
        })
        .await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
