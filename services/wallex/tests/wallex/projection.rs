//! Projections that are emptied under running roles: deliberately by `wallex projection reset`, or by dropping their
//! schema.

use sqlx::{Connection as _, PgConnection};
use wallex_testing::eventually;

use crate::lag::{WALLETS, create_wallets, shows};
use crate::platform::{PARTITIONS, Platform, text};
use crate::process::{DEADLINE, Process};

struct Running {
    command: Process,
    others: [Process; 3],
}

impl Running {
    async fn of(platform: &Platform) -> Self {
        let running = Self {
            command: platform.start(&["command"]),
            others: [
                platform.start(&["publisher"]),
                platform.start(&["projector", "read-model"]),
                platform.start(&["projector", "ledger"]),
            ],
        };
        running.ready().await;
        create_wallets(&running.command).await;
        running.level().await;
        running
    }

    async fn ready(&self) {
        self.command.ready().await;
        for one in &self.others {
            one.ready().await;
        }
    }

    async fn level(&self) {
        for projection in ["read-model", "ledger"] {
            shows(&self.command, projection, 0).await;
        }
    }
}

async fn number(db: &mut PgConnection, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(db).await.unwrap()
}

const IN_READ_MODEL: &str = "SELECT count(*) FROM read_model.wallet";

#[tokio::test]
async fn a_projection_is_emptied_when_told_so_twice_and_fills_itself() {
    let platform = Platform::new().await;
    let running = Running::of(&platform).await;
    let mut db = PgConnection::connect(platform.database.url()).await.unwrap();
    let before = number(&mut db, "SELECT min(xmin::text::bigint) FROM read_model.wallet").await;

    let asked = platform
        .tool(&["projection", "reset", "read-model"])
        .output()
        .unwrap();
    assert!(
        !asked.status.success() && text(&asked).contains("--yes"),
        "{}",
        text(&asked)
    );
    assert_eq!(number(&mut db, IN_READ_MODEL).await, WALLETS as i64);

    for projection in ["read-model", "ledger"] {
        let reset = platform
            .tool(&["projection", "reset", projection, "--yes"])
            .output()
            .unwrap();
        assert!(reset.status.success(), "{}", text(&reset));
    }
    // Nothing more is written: the roles must notice on their own.
    eventually(DEADLINE, "all wallets", async || {
        (number(&mut db, IN_READ_MODEL).await == WALLETS as i64).then_some(())
    })
    .await;
    let after = number(&mut db, "SELECT min(xmin::text::bigint) FROM read_model.wallet").await;
    assert!(after > before, "nothing was emptied");
    running.level().await;
    running.ready().await;
    platform.verify();
}

#[tokio::test]
async fn a_dropped_schema_is_named_by_readiness_until_it_is_migrated_and_filled() {
    let platform = Platform::new().await;
    let running = Running::of(&platform).await;
    let mut db = PgConnection::connect(platform.database.url()).await.unwrap();
    sqlx::raw_sql("DROP SCHEMA ledger CASCADE; DROP SCHEMA read_model CASCADE")
        .execute(&mut db)
        .await
        .unwrap();
    for role in [&running.others[1], &running.others[2]] {
        eventually(DEADLINE, "the reason", async || {
            let (status, answer) = role.read("/health/ready").await?;
            (status == 503 && answer.contains("SchemaMissing")).then_some(())
        })
        .await;
    }
    assert_eq!(
        running.command.get("/health/ready").await,
        Some(200),
        "writes go on"
    );
    let migrated = platform
        .tool(&["migrate", "--partitions", &PARTITIONS.to_string()])
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{}", text(&migrated));
    running.ready().await;
    // The lag may still be the one measured before the schema was dropped.
    eventually(DEADLINE, "the wallets in the read model", async || {
        (number(&mut db, IN_READ_MODEL).await == WALLETS as i64).then_some(())
    })
    .await;
    running.level().await;
}
