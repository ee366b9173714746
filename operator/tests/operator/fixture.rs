//! A platform as a user would write it, and the world around it.

use wallex_operator::crd::WalletPlatform;
use wallex_operator::reconcile::build::{self, Manifests};
use wallex_operator::reconcile::dereference::{Dereferenced, SecretValues};
use wallex_operator::reconcile::validate::{self, ValidatedPlatform};

/// Uid of the namespace kube-system in these tests.
pub(crate) const CLUSTER: &str = "11111111-1111-1111-1111-111111111111";

/// The smallest platform.
pub(crate) fn platform() -> WalletPlatform {
    serde_yaml_ng::from_str(
        "
        apiVersion: wallex.dev/v1alpha1
        kind: WalletPlatform
        metadata:
          name: demo
          namespace: wallex
          uid: 22222222-2222-2222-2222-222222222222
          generation: 4
        spec:
          image: localhost/wallex:dev
          database: {secretRef: {name: demo-database}}
          kafka: {bootstrapServers: '10.89.0.1:9092'}
        ",
    )
    .unwrap()
}

/// [`platform`] with its spec changed.
pub(crate) fn changed(change: impl FnOnce(&mut WalletPlatform)) -> WalletPlatform {
    let mut platform = platform();
    change(&mut platform);
    platform
}

/// The named Secrets exist.
pub(crate) fn world() -> Dereferenced {
    let mut world = Dereferenced::default();
    secret(
        &mut world,
        "demo-database",
        "postgres://wallex:hunter2@10.89.0.1:5432/demo",
    );
    secret(&mut world, "demo-redis", "redis://10.89.0.1:6379");
    world
}

/// Puts a Secret with a key `url` into the world.
pub(crate) fn secret(world: &mut Dereferenced, name: &str, url: &str) {
    let values = SecretValues([("url".to_owned(), url.as_bytes().to_vec())].into());
    world.secrets.insert(name.to_owned(), values);
}

pub(crate) fn validated(platform: &WalletPlatform, world: &Dereferenced) -> ValidatedPlatform {
    validate::run(platform, world, CLUSTER).unwrap()
}

pub(crate) fn built(platform: &WalletPlatform, world: &Dereferenced) -> Manifests {
    build::run(&validated(platform, world))
}

/// Compares with a file under `tests/operator/golden`. With UPDATE_GOLDEN set it writes the file instead.
pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = format!("{}/tests/operator/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "{path} differs; when that is meant, run the test with UPDATE_GOLDEN=1 and review it\n{text}"
    );
}
