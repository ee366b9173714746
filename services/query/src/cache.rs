//! Wallets in Redis, so that repeated plain reads of one wallet cost PostgreSQL nothing for a moment. Only an
//! accelerator: whatever Redis does, the answer is PostgreSQL's or no older than [`LIFE`].
//!
//! Three invariants:
//! - An entry knows the cursor of its wallet's partition at which it was read. It answers only callers that need no more
//!   than that, and it never replaces an entry that was read later.
//! - An entry expires [`LIFE`] after its reader began to look, by Redis' own clock, however late Redis stores it: erased
//!   data is gone by then, and the clocks of replicas need not agree.
//! - Anything without the checksum of this wallet's entry is not an entry.

use std::sync::LazyLock;
use std::time::Duration;

use uuid::Uuid;
use wallex_domain::Positions;
use wallex_runtime::metrics::{self, IntCounterVec};
use wallex_runtime::redis::Accelerator;

/// How long an entry may answer, by default.
pub(crate) const LIFE: Duration = Duration::from_secs(2);
/// Longer entries are not stored, longer values are ignored: a wallet with the largest metadata takes 20 kB.
const MAX_BYTES: usize = 64 * 1024;

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter_vec(
        "wallex_query_cache_requests_total",
        "Plain reads of a wallet by what the cache said: hit, miss, stale (older than the position asked for), \
         bypass (no Redis). Mostly bypass although Redis is configured: check Redis.",
        &["outcome"],
    )
});

/// The value, and Redis' time in milliseconds, from which [`LIFE`] counts.
const LOOK: &str = "
local value = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[1])
if type(value) ~= 'string' then value = '' end
local now = redis.call('TIME')
return {value, now[1] * 1000 + math.floor(now[2] / 1000)}";

/// Stores an entry unless it has expired or a later one exists. Seqs are written with 19 digits, so that they compare as
/// text; a Lua number is exact only below 2^53. Anything that is not an entry of ours (wrong form, type or life) is
/// replaced.
const STORE: &str = "
local head, seq, deadline, life = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = redis.call('TIME')
local left = deadline - (now[1] * 1000 + math.floor(now[2] / 1000))
if left <= 0 then return 0 end
local value = redis.pcall('GETRANGE', KEYS[1], 0, #head + 19)
if type(value) == 'string' and string.sub(value, 1, #head) == head then
  local there = string.match(value, '^%d+:$', #head + 1)
  local lives = redis.call('PTTL', KEYS[1])
  if there and #there == 20 and string.sub(there, 1, 19) > seq and lives > 0 and lives <= life then return 0 end
end
redis.call('SET', KEYS[1], ARGV[5], 'PX', math.min(left, life))
return 1";

#[derive(Clone)]
pub(crate) struct Cache {
    redis: Accelerator,
    prefix: String,
    life: Duration,
}

/// The cache's reply to a read.
pub(crate) enum Looked {
    Hit(Wallet),
    /// Ask PostgreSQL, and then fill the slot, if there is one.
    Missed(Option<Slot>),
}

/// A wallet's answer from an earlier read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wallet {
    /// The wallet's version: its ETag.
    pub(crate) version: i64,
    /// JSON.
    pub(crate) body: Vec<u8>,
}

/// Permission to store what is read from now on.
pub(crate) struct Slot {
    id: Uuid,
    /// By Redis' clock, in milliseconds.
    deadline: i64,
}

impl Cache {
    pub(crate) fn none() -> Self {
        Self {
            redis: Accelerator::none(),
            prefix: String::new(),
            life: LIFE,
        }
    }

    /// `platform` must be unique in this Redis: two platforms may give two wallets the same id.
    pub(crate) fn new(redis: Accelerator, platform: &str) -> Self {
        Self {
            redis,
            prefix: format!("wallex:{platform}:wallet:"),
            life: LIFE,
        }
    }

    pub(crate) fn with_life(self, life: Duration) -> Self {
        Self { life, ..self }
    }

    fn key(&self, id: Uuid) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Call this before the snapshot is opened: the slot's life counts from here.
    pub(crate) async fn get(&self, id: Uuid, wanted: &Positions) -> Looked {
        let (outcome, looked) = self.look(id, wanted).await;
        REQUESTS.with_label_values(&[outcome]).inc();
        looked
    }

    async fn look(&self, id: Uuid, wanted: &Positions) -> (&'static str, Looked) {
        let longest = MAX_BYTES.to_string();
        let found = self
            .redis
            .eval::<(Vec<u8>, i64)>(LOOK, &[&self.key(id)], &[longest.as_bytes()])
            .await;
        let Some((value, now)) = found else {
            return ("bypass", Looked::Missed(None));
        };
        let slot = Slot {
            id,
            deadline: now.saturating_add(millis(self.life)),
        };
        match Entry::read(id, &value) {
            None => ("miss", Looked::Missed(Some(slot))),
            Some(entry) if entry.contains(wanted) => ("hit", Looked::Hit(entry.wallet)),
            Some(_) => ("stale", Looked::Missed(Some(slot))),
        }
    }

    /// Stores `wallet`, which was read where the cursor of its `partition` was `seq`. The caller does not wait for Redis.
    pub(crate) fn fill(&self, slot: Slot, partition: i32, seq: i64, wallet: Wallet) {
        let entry = Entry {
            partition,
            seq,
            wallet,
        };
        let cache = self.clone();
        tokio::spawn(async move { cache.store(&slot, &entry).await });
    }

    /// Whether it was stored.
    async fn store(&self, slot: &Slot, entry: &Entry) -> bool {
        let bytes = entry.write(slot.id);
        if bytes.len() > MAX_BYTES {
            return false;
        }
        let texts = [
            entry.head(),
            format!("{:019}", entry.seq),
            slot.deadline.to_string(),
            millis(self.life).to_string(),
        ];
        let mut arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        arguments.push(&bytes);
        let stored: Option<i64> = self.redis.eval(STORE, &[&self.key(slot.id)], &arguments).await;
        stored == Some(1)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The value in Redis: `w1:PARTITION:SEQ:VERSION:CHECKSUM:BODY`, numbers with a fixed count of digits.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    partition: i32,
    seq: i64,
    wallet: Wallet,
}

impl Entry {
    /// Form and partition: what two entries must share to be compared by seq.
    fn head(&self) -> String {
        format!("w1:{:010}:", self.partition)
    }

    fn contains(&self, wanted: &Positions) -> bool {
        wanted
            .0
            .iter()
            .all(|position| position.partition.0 == self.partition && position.seq <= self.seq)
    }

    fn checksum(&self, id: Uuid) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(id.as_bytes());
        hasher.update(&self.partition.to_be_bytes());
        hasher.update(&self.seq.to_be_bytes());
        hasher.update(&self.wallet.version.to_be_bytes());
        hasher.update(&self.wallet.body);
        hasher.finalize().to_hex()[..32].to_owned()
    }

    fn write(&self, id: Uuid) -> Vec<u8> {
        let mut bytes = format!(
            "{}{:019}:{:019}:{}:",
            self.head(),
            self.seq,
            self.wallet.version,
            self.checksum(id)
        )
        .into_bytes();
        bytes.extend_from_slice(&self.wallet.body);
        bytes
    }

    /// `None` for anything that is not an intact entry of wallet `id`.
    fn read(id: Uuid, bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.splitn(6, |byte| *byte == b':');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        if text()? != "w1" {
            return None;
        }
        let (partition, seq, version) = (text()?, text()?, text()?);
        let checksum = text()?.to_owned();
        let entry = Self {
            partition: partition.parse().ok()?,
            seq: seq.parse().ok()?,
            wallet: Wallet {
                version: version.parse().ok()?,
                body: parts.next()?.to_vec(),
            },
        };
        (entry.checksum(id) == checksum).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use wallex_runtime::{Flags, Settings};
    use wallex_testing::{eventually, unique_name};

    use super::*;

    const ID: Uuid = Uuid::from_u128(0xA);

    fn entry(seq: i64, body: &str) -> Entry {
        Entry {
            partition: 3,
            seq,
            wallet: Wallet {
                version: 7,
                body: body.as_bytes().to_vec(),
            },
        }
    }

    async fn cache() -> Cache {
        let flags = Flags {
            redis_url: Some(wallex_testing::redis()),
            ..Flags::default()
        };
        let redis = Accelerator::connect(&Settings::from_flags(&flags).unwrap());
        eventually(Duration::from_secs(10), "Redis", async || {
            redis.alive().then_some(())
        })
        .await;
        Cache::new(redis, &unique_name("platform"))
    }

    async fn slot(cache: &Cache) -> Slot {
        match cache.get(ID, &Positions::default()).await {
            Looked::Missed(Some(slot)) => slot,
            Looked::Missed(None) | Looked::Hit(_) => panic!("no slot"),
        }
    }

    async fn found(cache: &Cache) -> Option<Wallet> {
        match cache.get(ID, &Positions::default()).await {
            Looked::Hit(wallet) => Some(wallet),
            Looked::Missed(_) => None,
        }
    }

    #[test]
    fn an_entry_reads_back_and_a_changed_or_foreign_one_is_none() {
        for body in ["{}", "{\"owner\":\"a:b::c\"}", ""] {
            let bytes = entry(1042, body).write(ID);
            assert_eq!(Entry::read(ID, &bytes), Some(entry(1042, body)));
            assert_eq!(Entry::read(Uuid::from_u128(0xB), &bytes), None);
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert_eq!(Entry::read(ID, &changed), None, "byte {at}");
                assert_eq!(Entry::read(ID, &bytes[..at]), None, "cut at {at}");
            }
        }
    }

    #[test]
    fn an_entry_answers_for_its_own_partition_up_to_its_seq() {
        let entry = entry(1042, "{}");
        for (wanted, answered) in [
            ("3:1042", true),
            ("3:1,3:7", true),
            ("3:1043", false),
            ("4:1", false),
            ("3:1042,4:0", false),
        ] {
            assert_eq!(entry.contains(&wanted.parse().unwrap()), answered, "{wanted}");
        }
        assert!(entry.contains(&Positions::default()));
    }

    #[tokio::test]
    async fn an_older_entry_never_replaces_a_newer() {
        let cache = cache().await;
        let slot = slot(&cache).await;
        assert!(cache.store(&slot, &entry(9, "nine")).await);
        assert!(!cache.store(&slot, &entry(8, "eight")).await);
        // Beyond what doubles can distinguish, and with more digits.
        let large = (1 << 53) + 1;
        assert!(cache.store(&slot, &entry(large, "large")).await);
        assert!(!cache.store(&slot, &entry(large - 1, "smaller")).await);
        assert!(!cache.store(&slot, &entry(10, "ten")).await);
        assert_eq!(
            found(&cache).await.map(|wallet| wallet.body),
            Some(b"large".to_vec())
        );
        assert!(
            cache.store(&slot, &entry(large, "again")).await,
            "the same is no older"
        );
    }

    /// Redis may execute a write long after it was sent.
    #[tokio::test]
    async fn an_entry_that_comes_late_does_not_live_longer() {
        let cache = cache().await;
        let mut late = slot(&cache).await;
        late.deadline -= millis(LIFE);
        assert!(!cache.store(&late, &entry(9, "nine")).await);
        assert_eq!(found(&cache).await, None);

        let mut tight = slot(&cache).await;
        tight.deadline -= millis(LIFE) - 300;
        assert!(cache.store(&tight, &entry(9, "nine")).await);
        eventually(Duration::from_secs(1), "the entry's end", async || {
            found(&cache).await.is_none().then_some(())
        })
        .await;
    }

    /// Anything else under the key is a miss, and does not keep a good entry out.
    #[tokio::test]
    async fn a_poisoned_key_is_a_miss_and_is_replaced() {
        let cache = cache().await;
        let far = String::from_utf8(entry(i64::MAX, "x").write(Uuid::from_u128(0xB))).unwrap();
        let poison: [&[&str]; 5] = [
            &["SET", "garbage"],
            &["SET", ""],
            &["RPUSH", "a", "b"],
            &["HSET", "a", "b"],
            &["SET", &far],
        ];
        for command in poison {
            let mut poisoning = redis::Cmd::new();
            poisoning.arg(command[0]).arg(cache.key(ID)).arg(&command[1..]);
            assert!(cache.redis.query::<redis::Value>(&poisoning).await.is_some());
            let slot = slot(&cache).await;
            assert!(cache.store(&slot, &entry(9, "nine")).await, "{command:?}");
            assert_eq!(
                found(&cache).await.map(|wallet| wallet.body),
                Some(b"nine".to_vec())
            );
            assert!(cache.redis.delete(&cache.key(ID)).await);
        }
    }
}
