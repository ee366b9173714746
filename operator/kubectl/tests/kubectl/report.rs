//! `kubectl wallex report`: what a bundle contains and, above all, what it does not.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wallex_kubectl::{Outcome, Report, Verb, run};

use crate::cluster::Cluster;
use crate::world::{DEMO, DEPLOYMENTS, EVENTS, PODS, cluster, event, looping_pod, platform, running_pod};

const SECRETS: &str = "/api/v1/namespaces/wallex/secrets";
const ALL_PODS: &str = "/api/v1/pods";

/// A folder that is removed after its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wallex-plugin-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("demo.tar.gz")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn verb(output: &Path) -> Verb {
    Verb::Report(Report {
        name: "demo".to_owned(),
        output: Some(output.to_owned()),
    })
}

fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let file = std::fs::File::open(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect()
}

const PASSWORD: &str = "hunter2-and-more";
const DATABASE: &str = "postgres://wallex:hunter2-and-more@db.example.com:5432/demo";
const TOKEN: &str = "t0ken/with+signs=\"and quotes\"";
/// From a Secret that may not be read, so only its pattern gives it away.
const HIDDEN: &str = "never-to-be-seen";

/// Everything that must not be in a bundle: the values and their encodings.
fn planted() -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let mut planted = Vec::new();
    for value in [PASSWORD, DATABASE, TOKEN, HIDDEN] {
        planted.push(value.to_owned());
        planted.push(STANDARD.encode(value));
        planted.push(URL_SAFE_NO_PAD.encode(value));
        planted.push(Value::from(value).to_string().trim_matches('"').to_owned());
        // Base64 of a longer text that contains the value.
        for before in ["", "x", "xx"] {
            let longer = STANDARD.encode(format!("{before}{value}"));
            planted.push(longer[4..longer.len() - 4].to_owned());
        }
    }
    planted
}

/// A cluster with secrets in careless places.
fn careless() -> Cluster {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let cluster = cluster();
    let mut platform = platform();
    platform["spec"]["kafka"]["sasl"] =
        json!({"passwordSecretRef": {"name": "demo-kafka", "key": "password"}});
    platform["spec"]["redis"] = json!({"secretRef": {"name": "demo-redis", "key": "url"}});
    platform["metadata"]["annotations"] = json!({
        "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"url\":\"{DATABASE}\"}}"),
        "note": format!("the database is {DATABASE}"),
        "encoded": STANDARD.encode(format!("xx{TOKEN}")),
    });
    platform["metadata"]["managedFields"] = json!([{"manager": "kubectl", "note": PASSWORD}]);
    platform["status"]["conditions"][0]["message"] = format!("can't log in with {PASSWORD}").into();
    let mut deployment = crate::world::deployment("command", 1, 1);
    deployment["spec"]["template"]["spec"]["containers"][0]["env"] = json!([
        {"name": "SMTP_PASSWORD", "value": HIDDEN},
        {"name": "PROXY", "value": format!("http://user:{HIDDEN}@proxy:3128")},
        {"name": "WALLEX_DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "demo-database", "key": "url"}}},
    ]);
    deployment["metadata"]["labels"] = json!({"token-of-the-day": HIDDEN});
    let mut verified = running_pod("demo-verify-x7k2p-abcde", "maintain");
    verified["metadata"]["uid"] = "1".into();
    let looping = looping_pod();
    cluster
        .forget("GET", DEMO)
        .get(DEMO, &platform)
        .forget("GET", DEPLOYMENTS)
        .list(DEPLOYMENTS, &[deployment])
        .forget("GET", PODS)
        .list(PODS, &[running_pod("demo-command-7c9d-a", "command"), looping, verified])
        .forget("GET", EVENTS)
        .list(
            EVENTS,
            &[event(
                "Pod",
                "demo-command-7c9d-b",
                "2026-11-24T20:59:30Z",
                "Warning",
                "Failed",
                &format!("connecting to {DATABASE}"),
            )],
        )
        .list(
            "/api/v1/namespaces/wallex/configmaps",
            &[json!({"metadata": {"name": "demo-config"}, "data": {
                "WALLEX_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "sasl.jaas.config": HIDDEN, "PLAIN": PASSWORD,
            }})],
        )
        .list(
            "/api/v1/namespaces/wallex/services",
            &[json!({"metadata": {"name": "demo-command"}, "spec": {"ports": [{"port": 8080}]}})],
        )
        .forbid("GET", "/apis/networking.k8s.io/v1/namespaces/wallex/networkpolicies")
        .get(
            &format!("{SECRETS}/demo-database"),
            &json!({"metadata": {"name": "demo-database"}, "type": "Opaque", "data": {
                "url": STANDARD.encode(DATABASE), "username": STANDARD.encode("wallex"),
            }}),
        )
        .get(
            &format!("{SECRETS}/demo-kafka"),
            &json!({"metadata": {"name": "demo-kafka"}, "type": "Opaque", "data": {"password": STANDARD.encode(TOKEN)}}),
        )
        .forbid("GET", &format!("{SECRETS}/demo-redis"))
        .list(
            ALL_PODS,
            &[{
                let mut operator = running_pod("wallex-operator-1", "operator");
                operator["metadata"]["namespace"] = "wallex-system".into();
                operator
            }],
        )
        .get("/version", &json!({
            "major": "1", "minor": "36", "gitVersion": "v1.36.1", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": "linux/amd64",
        }));
    let line = json!({"level": "ERROR", "message": format!("sent {TOKEN}"), "url": DATABASE}).to_string();
    let log =
        format!("{line}\nredis://:{HIDDEN}@redis:6379 refused\nAuthorization: Bearer {HIDDEN}\nlistening\n");
    for pod in [
        "wallex/pods/demo-command-7c9d-a",
        "wallex/pods/demo-command-7c9d-b",
        "wallex/pods/demo-verify-x7k2p-abcde",
        "wallex-system/pods/wallex-operator-1",
    ] {
        let path = format!("/api/v1/namespaces/{pod}/log");
        cluster.bytes("GET", &path, 200, log.clone().into_bytes());
    }
    cluster
}

#[tokio::test]
async fn no_secret_value_gets_into_a_bundle() {
    let (cluster, folder) = (careless(), Folder::new("secrets"));
    let (mut session, printed) = cluster.session();
    assert_eq!(
        run(&mut session, verb(&folder.file())).await.unwrap(),
        Outcome::Fine
    );
    let files = unpacked(&folder.file());
    assert!(files.len() > 10, "{:?}", files.keys());
    for (name, text) in &files {
        for planted in planted() {
            assert!(!text.contains(&planted), "{planted} is in {name}:\n{text}");
            assert!(!name.contains(&planted));
        }
    }
    for planted in planted() {
        assert!(!printed.out().contains(&planted) && !printed.err().contains(&planted));
    }
    // The test can find leaks: the secrets were there to be read.
    let log = &files["demo-report-20261124T210000Z/logs/demo-command-7c9d-a/wallex.log"];
    assert!(log.contains("[redacted]") && log.contains("listening"), "{log}");
    assert_eq!(cluster.writes(), [""; 0], "a report only reads");
}

#[tokio::test]
async fn a_bundle_lists_what_is_in_it_and_what_could_not_be_had() {
    let (cluster, folder) = (careless(), Folder::new("list"));
    let (mut session, printed) = cluster.session();
    run(&mut session, verb(&folder.file())).await.unwrap();
    let files = unpacked(&folder.file());
    let readme = &files["demo-report-20261124T210000Z/README.txt"];
    insta::assert_snapshot!("report-readme", readme);
    for name in files.keys() {
        let name = name.split_once('/').unwrap().1;
        assert!(name == "README.txt" || readme.contains(name), "{name}");
        assert!(printed.out().contains(name));
    }
    insta::assert_snapshot!(
        "report-secrets",
        files["demo-report-20261124T210000Z/secrets.yaml"],
    );
    insta::assert_snapshot!(
        "report-versions",
        files["demo-report-20261124T210000Z/versions.yaml"],
    );
}

#[tokio::test]
async fn logs_are_the_last_lines_of_now_and_before() {
    let (cluster, folder) = (careless(), Folder::new("logs"));
    let (mut session, _) = cluster.session();
    run(&mut session, verb(&folder.file())).await.unwrap();
    let asked: Vec<String> = cluster
        .asked()
        .iter()
        .filter(|asked| asked.path.ends_with("/log"))
        .map(|asked| format!("{}?{}", asked.path.rsplit('/').nth(1).unwrap(), asked.query))
        .collect();
    let present = "container=wallex&tailLines=5000&timestamps=true";
    let previous = "container=wallex&previous=true&tailLines=5000&timestamps=true";
    // The crash-looping pod has no present container; the check's log names amounts.
    assert_eq!(
        asked,
        [
            format!("demo-command-7c9d-a?&{present}"),
            format!("demo-command-7c9d-b?&{previous}"),
            format!("wallex-operator-1?&{present}"),
        ]
    );
}

#[tokio::test]
async fn a_cluster_that_shows_only_the_platform_still_gives_a_bundle() {
    let (cluster, folder) = (Cluster::default(), Folder::new("bare"));
    cluster.get(DEMO, &platform());
    for path in [PODS, EVENTS, DEPLOYMENTS, ALL_PODS, "/version"] {
        cluster.forbid("GET", path);
    }
    let (mut session, printed) = cluster.session();
    run(&mut session, verb(&folder.file())).await.unwrap();
    let files = unpacked(&folder.file());
    assert!(files.keys().any(|name| name.ends_with("platform.yaml")));
    let expected = "not had: events: you lack the right to list events in namespace wallex";
    assert!(printed.err().contains(expected), "{}", printed.err());
}

#[tokio::test]
async fn a_file_that_exists_is_not_overwritten() {
    let (cluster, folder) = (careless(), Folder::new("exists"));
    std::fs::write(folder.file(), "mine").unwrap();
    let (mut session, _) = cluster.session();
    let error = run(&mut session, verb(&folder.file())).await.unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(std::fs::read_to_string(folder.file()).unwrap(), "mine");
}

#[tokio::test]
async fn ctrl_c_leaves_no_half_bundle() {
    let (cluster, folder) = (careless(), Folder::new("stopped"));
    let (mut session, _) = cluster.session();
    cluster.stop_at("GET", EVENTS, &session.stop);
    let outcome = run(&mut session, verb(&folder.file())).await.unwrap();
    assert_eq!(outcome, Outcome::Stopped);
    assert!(!folder.file().exists());
}

#[tokio::test]
async fn only_its_owner_may_read_a_bundle() {
    use std::os::unix::fs::PermissionsExt as _;
    let (cluster, folder) = (careless(), Folder::new("mode"));
    let (mut session, _) = cluster.session();
    run(&mut session, verb(&folder.file())).await.unwrap();
    let mode = std::fs::metadata(folder.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
