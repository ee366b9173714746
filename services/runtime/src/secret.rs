//! Text that must not reach a log, an error or a terminal. [`Secret::expose`] is the only way to its content.

use std::fmt;

/// A password, or a URL that contains one. `Debug` and `Display` show `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the client library that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// For a URL: scheme, host, port and path, enough to see where a process connects to. All of it is
    /// `[redacted]` unless it is certain where the credentials end: otherwise a password with an unescaped `/` or `@`
    /// would be shown as a host. Options after `?` may also contain a password and are left out.
    pub(crate) fn redacted_url(&self) -> String {
        self.place().unwrap_or_else(|| self.to_string())
    }

    fn place(&self) -> Option<String> {
        let (scheme, rest) = self.0.split_once("://")?;
        let (credentials, rest) = match rest.split_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let (place, options) = match rest.split_once('?') {
            Some((place, _)) => (place, "?…"),
            None => (rest, ""),
        };
        let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
        let name = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        let clear = name(scheme)
            && !rest.contains('@')
            && !credentials.is_some_and(|it| it.contains(['/', '?', '#']))
            && hosts.split(',').all(is_host)
            && name(path);
        let shown = if credentials.is_some() { "***@" } else { "" };
        let slash = if place.contains('/') { "/" } else { "" };
        clear.then(|| format!("{scheme}://{shown}{hosts}{slash}{path}{options}"))
    }
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
fn is_host(text: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    if let Some((address, port)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let port = port.strip_prefix(':');
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port.is_none_or(is_port);
    }
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && port.is_none_or(is_port)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_its_place() {
        for (url, shown) in [
            (
                "postgres://wallex:hunter2@db:5432/wallex",
                "postgres://***@db:5432/wallex",
            ),
            ("postgres://db/wallex", "postgres://db/wallex"),
            ("redis://:hunter2@10.0.0.7:6379/0", "redis://***@10.0.0.7:6379/0"),
            ("redis://hunter2@cache", "redis://***@cache"),
            (
                "postgres://a:hunter2@one:1,two:2/wallex",
                "postgres://***@one:1,two:2/wallex",
            ),
            (
                "postgres://a:hunter2@[::1]:5432/wallex",
                "postgres://***@[::1]:5432/wallex",
            ),
            ("postgres://db/wallex?password=hunter2", "postgres://db/wallex?…"),
        ] {
            assert_eq!(Secret::new(url).redacted_url(), shown);
        }
    }

    #[test]
    fn a_url_that_could_show_a_secret_shows_nothing() {
        for url in [
            "hunter2",
            "postgres://wallex:hun@ter2@db/wallex",
            "postgres://wallex:hun/ter2@db/wallex",
            "postgres://wallex:hun?ter2@db/wallex",
            "postgres://wallex:hunter2",
            "postgres://wallex:hunter2/wallex",
            "postgres://db/wallex?password=hunter@2",
            "postgres://db/wallex/hunter2",
            "postgres://db/wallex#hunter2",
            "hunter2!://db",
            "postgres:///wallex?password=hunter2",
        ] {
            assert_eq!(Secret::new(url).redacted_url(), "[redacted]", "{url}");
        }
    }
}
