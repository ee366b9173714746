#![expect(clippy::unwrap_used, reason = "tests")]

use clap::{CommandFactory as _, Parser};

use super::*;

#[derive(Debug, Parser)]
struct Role {
    #[command(flatten)]
    flags: Flags,
}

fn flags(arguments: &[&str]) -> Flags {
    Role::parse_from(["role"].iter().chain(arguments)).flags
}

fn load(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load_from(&flags(arguments), |asked| {
        environment
            .iter()
            .find(|(variable, _)| *variable == asked)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn message(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let message = load(arguments, environment).unwrap_err().to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    message
}

/// A settings file that is removed when the test ends.
struct File(PathBuf);

impl File {
    fn new(content: &str) -> Self {
        let path = std::env::temp_dir().join(wallex_testing::unique_name("settings.toml"));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn every_setting_has_a_default_that_works_alone() {
    let settings = load(&[], &[]).unwrap();
    assert_eq!(settings.platform_id().to_string(), "local/default/wallex");
    assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(
        (settings.writers, settings.max_batch, settings.projector_batch),
        (1, 500, 1000)
    );
    assert_eq!(settings.projector_gather_ms, Gather(Duration::from_millis(15)));
    assert_eq!(settings.log_format, LogFormat::Text);
    assert!(settings.redis_url.is_none() && settings.database_url.is_none());
    assert!(
        settings.instance.ends_with(&format!("-{}", std::process::id())),
        "{}",
        settings.instance
    );
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = File::new("platform = \"file\"\nnamespace = \"file\"\ncluster = \"file\"\nmax_batch = 7\n");
    let environment = [
        ("WALLEX_PLATFORM", "environment"),
        ("WALLEX_NAMESPACE", "environment"),
    ];
    let settings = load(&["--config", file.path(), "--platform", "flag"], &environment).unwrap();
    assert_eq!(settings.platform_id().to_string(), "file/environment/flag");
    assert_eq!((settings.max_batch, settings.queue_capacity), (7, 10_000));

    let environment = [("WALLEX_CONFIG", file.path())];
    assert_eq!(load(&[], &environment).unwrap().platform, "file");
}

#[test]
fn text_stays_as_it_was_written() {
    let environment = [
        ("WALLEX_PLATFORM", "007"),
        ("WALLEX_NAMESPACE", "1e5"),
        ("WALLEX_CLUSTER", "true"),
    ];
    assert_eq!(
        load(&[], &environment).unwrap().platform_id().to_string(),
        "true/1e5/007"
    );
}

#[test]
fn an_empty_variable_is_unset() {
    let environment = [
        ("WALLEX_REDIS_URL", ""),
        ("WALLEX_MAX_BATCH", ""),
        ("WALLEX_PLATFORM", ""),
    ];
    let settings = load(&[], &environment).unwrap();
    assert!(settings.redis_url.is_none());
    assert_eq!((settings.max_batch, settings.platform.as_str()), (500, "wallex"));
}

#[test]
fn currencies_are_a_list_and_a_wrong_one_names_the_setting() {
    let settings = load(&[], &[("WALLEX_CURRENCIES", "POINTS:0,GOLD:3")]).unwrap();
    assert_eq!(settings.currencies.own().count(), 2);
    assert_eq!(load(&[], &[]).unwrap().currencies.own().count(), 0);
    for (list, why) in [
        ("POINTS", "`POINTS` is not CODE:DIGITS"),
        ("EUR:3", "EUR is ISO 4217's and has 2 decimal digits"),
        (
            "POINTS:16",
            "`16` is not a number of decimal digits for POINTS: 0 to 15",
        ),
        ("P:0", "`P` is not a currency's code"),
    ] {
        let message = message(&[], &[("WALLEX_CURRENCIES", list)]);
        assert!(
            message.contains("WALLEX_CURRENCIES") && message.contains(why),
            "{message}"
        );
    }
}

#[test]
fn a_required_setting_is_missed_by_name_with_the_way_out() {
    let settings = load(&[], &[]).unwrap();
    assert_eq!(
        settings.database_url().unwrap_err().to_string(),
        "database_url is not set: give --database-url or WALLEX_DATABASE_URL, for example \
         postgres://user:password@host:5432/wallex"
    );
    let missing = settings.kafka_bootstrap_servers().unwrap_err().to_string();
    assert!(
        missing.contains("--kafka-bootstrap-servers or WALLEX_KAFKA_BOOTSTRAP_SERVERS"),
        "{missing}"
    );
}

#[test]
fn the_read_side_uses_the_journals_database_unless_it_has_its_own() {
    let one = load(&["--database-url", "postgres://journal"], &[]).unwrap();
    assert_eq!(one.read_database_url().unwrap().expose(), "postgres://journal");
    assert_eq!(one.read_database_setting(), "database_url");
    let two = load(
        &[
            "--database-url",
            "postgres://a",
            "--read-database-url",
            "postgres://b",
        ],
        &[],
    )
    .unwrap();
    assert_eq!(two.read_database_url().unwrap().expose(), "postgres://b");
    assert_eq!(two.read_database_setting(), "read_database_url");
}

#[test]
fn a_wrong_value_is_named_with_its_origin_and_reason() {
    assert_eq!(
        message(&[], &[("WALLEX_LISTEN", "8080")]),
        "listen is not valid: `8080` is not an address such as 0.0.0.0:8080 (from WALLEX_LISTEN; set it with --listen \
         or WALLEX_LISTEN)"
    );
    let zero = message(&["--max-batch", "0"], &[]);
    assert!(
        zero.starts_with("max_batch is not valid: `0` is not a whole number from 1"),
        "{zero}"
    );
    assert!(zero.contains("from --max-batch"), "{zero}");
    let file = File::new("writers = [1, 2]\n");
    let list = message(&["--config", file.path()], &[]);
    assert!(
        list.starts_with("writers is not valid") && list.contains(file.path()),
        "{list}"
    );
    let log = message(&[], &[("WALLEX_LOG", "info,=")]);
    assert!(
        log.starts_with("log is not valid") && log.contains("from WALLEX_LOG;"),
        "{log}"
    );
    let misspelled = message(&["--log", "dubug"], &[]);
    assert!(
        misspelled.starts_with("log is not valid: `dubug` is not one of trace"),
        "{misspelled}"
    );
    for endpoint in [
        "https://collector",
        "collector:4317",
        "http://user:secret@collector",
    ] {
        let endpoint = message(&["--otlp-endpoint", endpoint], &[]);
        assert!(endpoint.starts_with("otlp_endpoint is not valid"), "{endpoint}");
    }
    for ratio in ["1.1", "-0.1", "NaN", "half"] {
        let ratio = message(&[&format!("--trace-sample-ratio={ratio}")], &[]);
        assert!(
            ratio.contains("is not a number from 0 to 1 (from --trace-sample-ratio"),
            "{ratio}"
        );
    }
    let topic = message(&["--kafka-events-topic", "wallet events"], &[]);
    assert!(
        topic.starts_with("kafka_events_topic is not valid: `wallet events`"),
        "{topic}"
    );
    let grace = message(&["--shutdown-grace-seconds", "25"], &[]);
    assert!(
        grace.starts_with(
            "shutdown_grace_seconds is not valid: 25 leaves nothing of the 25 of shutdown_seconds"
        ),
        "{grace}"
    );
    let grace = message(&["--shutdown-grace-seconds", "1.5"], &[]);
    assert!(
        grace.contains("`1.5` is not a whole number of seconds from 0"),
        "{grace}"
    );
    let platform = message(&["--platform", "a/b"], &[]);
    assert!(platform.starts_with("platform is not valid: `a/b`"), "{platform}");
}

#[test]
fn an_unknown_key_of_the_file_is_refused_with_the_nearest_name() {
    let file = File::new("databse_url = \"postgres://user:hunter2@host/wallex\"\n");
    let unknown = message(&["--config", file.path()], &[]);
    assert!(
        unknown.ends_with("to put `databse_url` into: did you mean `database_url`?"),
        "{unknown}"
    );
    assert!(!unknown.contains("hunter2"), "{unknown}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_without_quoting_it() {
    let absent = message(&["--config", "/nowhere/wallex.toml"], &[]);
    assert!(
        absent.starts_with("cannot read the settings file /nowhere/wallex.toml (--config"),
        "{absent}"
    );
    let file = File::new("platform = \"demo\"\ndatabase_url = \"postgres://user:hunter2@host/wallex\n");
    let broken = message(&["--config", file.path()], &[]);
    assert!(broken.contains("line 2: "), "{broken}");
    assert!(!broken.contains("hunter2"), "{broken}");
}

#[test]
fn secrets_are_never_shown() {
    let arguments = [
        "--database-url",
        "postgres://user:hunter2@host/wallex",
        "--redis-url",
        "redis://:hunter2@host",
    ];
    let shown = format!("{:?} {:?}", load(&arguments, &[]).unwrap(), flags(&arguments));
    assert!(
        !shown.contains("hunter2") && shown.contains("[redacted]"),
        "{shown}"
    );
    assert!(
        shown.contains("\"database_url\""),
        "given flags are named: {shown}"
    );
}

#[test]
fn flags_are_sound_and_tell_their_variables() {
    Role::command().debug_assert();
    let help = Role::command().render_long_help().to_string();
    for setting in REFERENCE {
        assert_eq!(
            setting.variable,
            format!("WALLEX_{}", setting.name.to_uppercase())
        );
        assert!(
            help.contains(&setting.flag()) && help.contains(setting.variable),
            "{}",
            setting.name
        );
        assert!(setting.help.ends_with('.'), "{}", setting.name);
    }
}

fn in_force(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let variable = |asked: &str| {
        environment
            .iter()
            .find(|(variable, _)| *variable == asked)
            .map(|(_, value)| (*value).to_owned())
    };
    let (_, in_force) = Settings::in_force_from(&flags(arguments), variable).unwrap();
    in_force.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_is_in_force_is_told_with_its_origin() {
    let file = File::new("platform = \"demo\"\nmax_batch = 7\n");
    let shown = in_force(
        &["--config", file.path(), "--writers", "3"],
        &[("WALLEX_LOG", "debug")],
    );
    for (line, origin) in [
        ("platform = \"demo\" ", format!("# file {}", file.path())),
        ("max_batch = 7 ", format!("# file {}", file.path())),
        ("writers = 3 ", "# flag --writers".to_owned()),
        ("log = \"debug\" ", "# variable WALLEX_LOG".to_owned()),
        ("listen = \"0.0.0.0:8080\" ", "# default".to_owned()),
        ("# redis_url is not set ", "# default".to_owned()),
    ] {
        let told = |told: &str| told.starts_with(line) && told.ends_with(&origin);
        assert!(shown.lines().any(told), "no {line} … {origin} in\n{shown}");
    }
    assert_eq!(shown.lines().count(), REFERENCE.len());
}

#[test]
fn what_is_in_force_is_a_settings_file_again() {
    let odd = "a \"quoted\" \\ back\u{7}slash";
    let shown = in_force(&["--instance", odd, "--log-format", "json"], &[]);
    let file = File::new(&shown);
    let again = load(&["--config", file.path()], &[]).unwrap();
    assert_eq!(
        (again.instance.as_str(), again.log_format),
        (odd, LogFormat::Json)
    );
    assert_eq!(again.listen.to_string(), "0.0.0.0:8080");
}

#[test]
fn no_secret_is_in_force_for_all_to_see() {
    let file = File::new("read_database_url = \"postgres://user:hunter2@read/wallex\"\n");
    let shown = in_force(
        &[
            "--config",
            file.path(),
            "--redis-url",
            "redis://:hunter2@cache:6379/0",
        ],
        &[("WALLEX_DATABASE_URL", "postgres://user:hun@ter2@journal/wallex")],
    );
    assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
    for line in [
        "database_url = \"[redacted]\"",
        "read_database_url = \"postgres://***@read/wallex\"",
        "redis_url = \"redis://***@cache:6379/0\"",
    ] {
        assert!(shown.contains(&format!("{line} ")), "no {line} in\n{shown}");
    }
}

#[test]
fn the_reference_that_is_committed_is_the_one_generated() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == reference(),
        "docs/configuration.md differs from services/runtime/src/settings/mod.rs: run `make manifests`, or \
         `cargo run -p wallex -- config --reference > docs/configuration.md`"
    );
}
