//! The database behind PgBouncer: with session pooling everything works; with transaction pooling every subcommand
//! reports it and exits.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr as _;

use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use wallex_testing::{eventually, unique_name};

use crate::api::{Api, Write};
use crate::platform::{Platform, text};
use crate::process::{DEADLINE, free_port};

struct Pooler {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Pooler {
    /// Starts it in front of the tests' PostgreSQL and waits until it answers.
    async fn start(mode: &str) -> Self {
        let url = wallex_testing::postgres();
        let server = PgConnectOptions::from_str(&url).unwrap();
        let password = url.split_once("://").unwrap().1.split_once('@').unwrap().0;
        let password = password.split_once(':').unwrap().1;
        let folder = std::env::temp_dir().join(unique_name("wallex-pgbouncer"));
        fs::create_dir(&folder).unwrap();
        let port = free_port();
        let configuration = format!(
            "[databases]\n* = host={} port={} user={} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = 50\nignore_startup_parameters = extra_float_digits\n",
            server.get_host(),
            server.get_port(),
            server.get_username(),
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, configuration).unwrap();
        // It refuses to run as root, and the account it switches to must be able to read this.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("pgbouncer");
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        if is_root {
            command.args(["-u", "nobody"]);
        }
        let process = command
            .args(["-q"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pooler = Self {
            process,
            folder,
            port,
        };
        let options = PgConnectOptions::from_str(&pooler.url("postgres")).unwrap();
        eventually(DEADLINE, "PgBouncer", async || options.connect().await.ok()).await;
        pooler
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres:any@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn a_pooler_by_transactions_is_refused_with_a_word_on_what_to_set() {
    let mut platform = Platform::new().await;
    for mode in ["transaction", "statement"] {
        let pooler = Pooler::start(mode).await;
        platform.set("WALLEX_DATABASE_URL", pooler.url(platform.database.name()));
        for command in [&["migrate"][..], &["verify"], &["maintain"]] {
            let refused = platform.tool(command).output().unwrap();
            let said = text(&refused);
            assert!(!refused.status.success(), "{mode}, {command:?}: {said}");
            for words in ["database_url", "pool_mode = session", "PgBouncer"] {
                assert!(said.contains(words), "{mode}, {command:?}: no {words} in {said}");
            }
        }
        for role in [
            &["command"][..],
            &["query"],
            &["publisher"],
            &["projector", "ledger"],
        ] {
            let mut role = platform.start(role);
            assert!(!role.ended().await.success());
            assert!(role.log().contains("pool_mode = session"), "{}", role.log());
        }
    }
}

#[tokio::test]
async fn a_pooler_by_sessions_is_as_good_as_none() {
    let mut platform = Platform::new().await;
    let pooler = Pooler::start("session").await;
    platform.set("WALLEX_DATABASE_URL", pooler.url(platform.database.name()));
    let migrated = platform.tool(&["migrate"]).output().unwrap();
    assert!(migrated.status.success(), "{}", text(&migrated));
    let command = platform.start(&["command"]);
    let projector = platform.start(&["projector", "read-model", "--source", "journal"]);
    command.ready().await;
    projector.ready().await;
    let api = Api::new([command.port, command.port]);
    let create = Write {
        method: http::Method::POST,
        path: "/v1/wallets".to_owned(),
        key: "wallet".to_owned(),
        if_match: None,
        body: json!({"currency": "EUR"}),
    };
    let created = api.write(0, &create).await.unwrap();
    assert_eq!(created.status, 201, "{:?}", created.body);
    let path = format!("/v1/wallets/{}", created.body["wallet"]["id"].as_str().unwrap());
    let position = created.position.unwrap();
    eventually(DEADLINE, "the read model", async || {
        (api.read(0, &path, &position).await.unwrap().status == 200).then_some(())
    })
    .await;
    platform.verify();
}
