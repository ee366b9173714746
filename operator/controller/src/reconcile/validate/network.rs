//! The TCP ports on which pods reach PostgreSQL, Kafka, Redis and the trace collector, taken from their addresses. Pure.

use std::collections::BTreeSet;

const HTTP: i32 = 80;
const POSTGRES: i32 = 5432;
const KAFKA: i32 = 9092;
const REDIS: i32 = 6379;

/// The ports found.
#[derive(Debug, Default)]
pub(super) struct Ports(BTreeSet<i32>);

impl Ports {
    /// Adds the ports of a PostgreSQL URL, which may name several hosts, and may give ports as a parameter.
    pub(super) fn postgres(&mut self, url: &str) {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let named = query
            .split('&')
            .filter_map(|parameter| parameter.strip_prefix("port="))
            .flat_map(|ports| ports.split(','))
            .filter_map(|port| port.parse::<i32>().ok());
        let before = self.0.len();
        self.0.extend(named);
        if self.0.len() == before {
            self.hosts(authority(url), POSTGRES);
        }
    }

    /// Adds the port of a Redis URL.
    pub(super) fn redis(&mut self, url: &str) {
        self.hosts(authority(url), REDIS);
    }

    /// Adds the port of an HTTP URL.
    pub(super) fn http(&mut self, url: &str) {
        self.hosts(authority(url), HTTP);
    }

    /// Adds the ports of a list of brokers.
    pub(super) fn kafka(&mut self, bootstrap_servers: &str) {
        self.hosts(bootstrap_servers, KAFKA);
    }

    /// All ports plus `further`.
    pub(super) fn with(mut self, further: &[i32]) -> BTreeSet<i32> {
        self.0.extend(further);
        self.0
    }

    fn hosts(&mut self, hosts: &str, default: i32) {
        self.0.extend(hosts.split(',').map(|host| {
            // In an IPv6 address without a port, the closing bracket follows the last colon.
            let port = host
                .trim()
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse::<i32>().ok());
            port.unwrap_or(default)
        }));
    }
}

/// `host:port[,host:port]` of a URL. A password may hold '@' or '/' unescaped, so the last '@' ends the credentials.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(hosts, _)| hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(find: impl FnOnce(&mut Ports)) -> Vec<i32> {
        let mut ports = Ports::default();
        find(&mut ports);
        ports.with(&[]).into_iter().collect()
    }

    #[test]
    fn ports_are_read_from_addresses_or_are_the_usual_ones() {
        assert_eq!(
            found(|ports| ports.postgres("postgres://u:p@ss/w@db/wallex")),
            [5432]
        );
        assert_eq!(
            found(|ports| ports.postgres("postgres://u:p@a:6432,b:6433/wallex?sslmode=require")),
            [6432, 6433]
        );
        assert_eq!(
            found(|ports| ports.postgres("postgres:///wallex?host=db&port=7000")),
            [7000]
        );
        assert_eq!(
            found(|ports| ports.postgres("postgres://[fd00::1]/wallex")),
            [5432]
        );
        assert_eq!(found(|ports| ports.redis("rediss://:pw@cache:6380/0")), [6380]);
        assert_eq!(found(|ports| ports.redis("redis://cache")), [6379]);
        assert_eq!(
            found(|ports| ports.kafka("a:9093, b,c:19092")),
            [9092, 9093, 19092]
        );
    }
}
