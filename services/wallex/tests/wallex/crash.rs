//! Processes are killed repeatedly under load: nothing is lost, nothing is done twice, the chain stays intact.

use std::process::Stdio;
use std::time::{Duration, Instant};

use wallex_testing::eventually;

use crate::platform::{Platform, text};
use crate::process::{DEADLINE, Process};

/// How often a role is killed. Each costs about a third of a second.
const KILLS: usize = 24;

#[tokio::test]
async fn kill_9_of_any_role_under_load_leaves_every_balance_right() {
    let platform = Platform::new().await;
    let roles: [&[&str]; 6] = [
        &["command"],
        &["publisher"],
        &["publisher"],
        &["projector", "ledger"],
        &["projector", "ledger"],
        &["projector", "read-model"],
    ];
    let mut processes: Vec<Process> = roles.iter().map(|role| platform.start(role)).collect();
    for process in &processes {
        process.ready().await;
    }
    let api_port = processes[0].port;
    let mut bench = platform
        .bench(&[
            "--wallets",
            "40",
            "--operations",
            "12000",
            "--workers",
            "8",
            "--timeout",
            "60",
        ])
        .args(["--api", &format!("http://127.0.0.1:{api_port}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    // Killing starts once operations run, not while wallets are created.
    let pool = platform.database.pool().await;
    eventually(DEADLINE, "load", async || {
        let events: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.event")
            .fetch_one(&pool)
            .await
            .unwrap();
        (events > 100).then_some(())
    })
    .await;
    let mut kills = 0;
    let started = Instant::now();
    while bench.try_wait().unwrap().is_none() && kills < KILLS {
        // The command role first and most often: money depends on it.
        let victim = [0, 1, 0, 3, 0, 5, 0, 2, 0, 4][kills % 10];
        processes[victim].kill();
        processes[victim] = platform.restart(roles[victim], processes[victim].port);
        if victim == 0 {
            processes[0].ready().await;
        }
        kills += 1;
        // Some load between two kills; the wait is part of the scenario, not a condition.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let bench = bench.wait_with_output().unwrap();
    let report = text(&bench);
    assert!(
        bench.status.success(),
        "after {kills} kills in {:?}: {report}",
        started.elapsed()
    );
    assert!(report.contains("yes, by database"), "{report}");
    assert!(
        kills >= 10,
        "the load ended after {kills} kills: it must last longer"
    );
    platform.verify();
}
