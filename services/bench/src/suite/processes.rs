//! CPU time of processes, from /proc (proc(5)). The invariant: a process counts only by what it used between two looks; one
//! that was not there at the first look started since.

use std::collections::{BTreeMap, HashMap};
use std::fs;

/// Microseconds per tick of utime and stime: USER_HZ is 100 on every Linux.
pub(crate) const TICK: u64 = 10_000;

pub(crate) const GENERATOR: &str = "generator";
pub(crate) const COMMAND: &str = "command";
pub(crate) const PUBLISHER: &str = "publisher";
pub(crate) const KAFKA: &str = "Kafka";
pub(crate) const REDIS: &str = "Redis";
/// containerd copies what containers print into their log files.
pub(crate) const LOG_READER: &str = "container log reader";
pub(crate) const REST: &str = "everything else";

/// Ticks used so far: by process (id and start time), with its component, and by the whole machine.
#[derive(Debug, Default, Clone)]
pub(crate) struct Usage {
    processes: HashMap<(u32, u64), (String, u64)>,
    machine: u64,
}

impl Usage {
    /// Looks at the processes of this machine that have a component.
    pub(crate) fn look(components: &HashMap<u32, String>) -> Self {
        let mut usage = Self {
            machine: fs::read_to_string("/proc/stat").map_or(0, |text| busy(&text)),
            ..Self::default()
        };
        for (pid, component) in components {
            if let Some((start, ticks)) = fs::read_to_string(format!("/proc/{pid}/stat"))
                .ok()
                .as_deref()
                .and_then(used)
            {
                usage.processes.insert((*pid, start), (component.clone(), ticks));
            }
        }
        usage
    }

    /// Ticks by component since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> BTreeMap<String, u64> {
        let mut ticks = BTreeMap::new();
        for (process, (component, now)) in &self.processes {
            let before = earlier.processes.get(process).map_or(0, |(_, before)| *before);
            *ticks.entry(component.clone()).or_insert(0) += now.saturating_sub(before);
        }
        let seen: u64 = ticks.values().sum();
        let machine = self.machine.saturating_sub(earlier.machine);
        ticks.insert(REST.to_owned(), machine.saturating_sub(seen));
        ticks
    }
}

/// Start time and ticks of user and system time, from /proc/PID/stat.
fn used(stat: &str) -> Option<(u64, u64)> {
    // The program's name stands in parentheses and may contain anything.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
    Some((field(22)?, field(14)? + field(15)?))
}

/// Ticks that all processors together were busy, without what the hypervisor took away, from /proc/stat.
fn busy(stat: &str) -> u64 {
    let times = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // user, nice, system, idle, iowait, irq, softirq
    let times: Vec<u64> = times.take(7).filter_map(|time| time.parse().ok()).collect();
    times
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != 3 && *place != 4)
        .map(|(_, time)| time)
        .sum()
}

/// All processes of this machine that belong to a platform, by their command lines.
pub(crate) fn of_platform() -> HashMap<u32, String> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line);
            let words: Vec<&str> = line.split('\0').filter(|word| !word.is_empty()).collect();
            Some((pid, component(&words)?))
        })
        .collect()
}

/// Whether the process is one of PostgreSQL's: ids mean something else if the server runs elsewhere.
pub(crate) fn is_postgres(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres")
}

fn component(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let name = program.rsplit('/').next()?;
    let has = |word: &str| arguments.contains(&word);
    match name {
        "wallex" if has("command") => Some(COMMAND.to_owned()),
        "wallex" if has("publisher") => Some(PUBLISHER.to_owned()),
        "wallex" if has("query") => Some("query".to_owned()),
        "wallex" if has("dev") => Some("all roles in one process".to_owned()),
        "wallex" => {
            let place = arguments.iter().position(|word| *word == "projector")?;
            let projection = arguments.get(place + 1)?;
            Some(projector(projection))
        }
        "java" if has("kafka.Kafka") => Some(KAFKA.to_owned()),
        // Its process title shows the address that it listens on.
        _ if name.starts_with("redis-server") => Some(REDIS.to_owned()),
        "containerd" => Some(LOG_READER.to_owned()),
        _ => None,
    }
}

pub(crate) fn projector(projection: &str) -> String {
    format!("projector of the {}", projection.replace('-', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_may_contain_anything() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 777 1000 10 18446744073709551615";
        assert_eq!(used(stat), Some((777, 300)));
        assert_eq!(used("42 (a"), None);
    }

    #[test]
    fn waiting_is_not_work() {
        assert_eq!(busy("cpu  10 1 20 500 90 3 4 7 0 0\ncpu0 1 1 1 1\n"), 38);
    }

    #[test]
    fn processes_are_known_by_their_command_lines() {
        let of = |line: &str| component(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(of("/usr/local/bin/wallex command").as_deref(), Some(COMMAND));
        assert_eq!(
            of("wallex projector read-model --source kafka").as_deref(),
            Some("projector of the read model")
        );
        assert_eq!(
            of("java -Xmx512m -cp libs/* kafka.Kafka server.properties").as_deref(),
            Some(KAFKA)
        );
        assert_eq!(of("redis-server 10.89.0.1:6379").as_deref(), Some(REDIS));
        assert_eq!(of("wallex migrate"), None);
        assert_eq!(of("vim wallex"), None);
    }

    #[test]
    fn only_what_was_used_between_two_looks_counts() {
        let usage = |machine, processes: &[(u32, u64, u64)]| Usage {
            machine,
            processes: processes
                .iter()
                .map(|(pid, start, ticks)| ((*pid, *start), (COMMAND.to_owned(), *ticks)))
                .collect(),
        };
        let earlier = usage(1_000, &[(1, 5, 100), (2, 6, 50)]);
        // The second one was replaced by another process with the same id.
        let later = usage(1_100, &[(1, 5, 130), (2, 9, 20)]);
        let since = later.since(&earlier);
        assert_eq!((since[COMMAND], since[REST]), (50, 50));
    }
}
