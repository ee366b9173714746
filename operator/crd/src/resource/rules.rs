//! CEL rules that several fields share, with their messages: for values that Kubernetes, the kubelet or the brokers would
//! otherwise refuse only later, when the platform is created. Depends on nothing.
//!
//! Patterns are RE2, with as few backslashes as possible, because each is doubled in CEL.

/// Name of a Secret and of most other objects: a DNS subdomain (RFC 1123).
pub(super) const NAME: &str =
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";
pub(super) const NAME_MESSAGE: &str =
    "a name has lower case letters, digits, '-' and '.', and begins and ends with a letter or a digit";

/// Key within a Secret or ConfigMap.
pub(super) const KEY: &str = "self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && self != '..'";
pub(super) const KEY_MESSAGE: &str = "a key has letters, digits, '-', '_' and '.' only";

/// CA certificates come from one place.
pub(super) const ONE_CA: &str = "!has(self.caSecretRef) || !has(self.caConfigMapRef)";
pub(super) const ONE_CA_MESSAGE: &str =
    "caSecretRef and caConfigMapRef both say where the certificates are: leave one of them out";

/// An image reference as registries and the kubelet parse it (distribution's grammar).
pub(super) const IMAGE: &str = "self.matches('^(([a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?([.][a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*|\\\\[[a-fA-F0-9:]+\\\\])(:[0-9]+)?/)?[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)*(:[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,127})?(@[a-zA-Z0-9]+([-_+.][a-zA-Z0-9]+)*:[0-9a-fA-F]{32,})?$')";
pub(super) const IMAGE_MESSAGE: &str = "not an image reference: write registry/name:tag or registry/name@sha256:…, without blanks and without a scheme";

/// Bootstrap servers.
pub(super) const SERVERS: &str = "self.matches('^([a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?|\\\\[[a-fA-F0-9:.]+\\\\]):(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})(,([a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?|\\\\[[a-fA-F0-9:.]+\\\\]):(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))*$')";
pub(super) const SERVERS_MESSAGE: &str = "not a list of brokers: write host:port,host:port, each with its port (1 to 65535), without a scheme and without blanks";

/// Address of a trace collector.
pub(super) const ENDPOINT: &str = "self.matches('^http://([a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?|\\\\[[a-fA-F0-9:.]+\\\\])(:[1-9][0-9]{0,4})?(/[^ ?#]*)?$')";
pub(super) const ENDPOINT_MESSAGE: &str = "not an address of a collector: write http://host:port, followed by a path if it has one (https is not supported)";

/// The format of a label or annotation key: a name of at most 63 characters, with an optional DNS subdomain prefix.
pub(super) const QUALIFIED: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// The format of a label value.
pub(super) const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

pub(super) const LABEL_KEY_MESSAGE: &str = "not a key: write name or example.com/name; the name has 1 to 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or a digit";
pub(super) const LABEL_VALUE_MESSAGE: &str =
    "not a label value: at most 63 letters, digits, '-', '_' and '.', and a letter or a digit at both ends";
