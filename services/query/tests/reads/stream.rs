//! Live updates on a real PostgreSQL and Redis: what is sent, what wakes a stream, and how it ends.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use uuid::Uuid;
use wallex_runtime::CancellationToken;
use wallex_runtime::health::Health;
use wallex_runtime::http::{Ending, Limits, bind, serve_on};
use wallex_runtime::redis::Accelerator;
use wallex_testing::{eventually, unique_name};

use crate::api::{A, Api, B, NOWHERE};
use crate::door::{Door, accelerator};
use crate::entries::Entry;

const DEADLINE: Duration = wallex_testing::DEADLINE;
/// Without a message, the next look comes after half a second.
const LOOK: Duration = Duration::from_millis(1_500);

/// One event as the client sees it.
#[derive(Debug, PartialEq)]
struct Event {
    id: i64,
    kind: String,
    data: Value,
}

struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    async fn open(api: &Api, path: &str, last_event_id: Option<&str>) -> Self {
        let headers = last_event_id.map(|id| ("Last-Event-ID", id));
        let (head, body) = api.open(path, headers.as_slice()).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["content-type"], "text/event-stream");
        assert_eq!(head.headers["cache-control"], "no-store");
        Self {
            body,
            text: String::new(),
        }
    }

    /// The next event, `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = timeout(DEADLINE, self.body.frame()).await.unwrap()?;
            self.text
                .push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
        }
    }

    async fn ids(&mut self, count: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.next().await.unwrap().id);
        }
        ids
    }

    async fn is_silent(&mut self) -> bool {
        timeout(LOOK, self.next()).await.is_err()
    }
}

/// `None` for a comment.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let prefix = format!("{name}: ");
        block.lines().find_map(|line| line.strip_prefix(&prefix))
    };
    Some(Event {
        id: field("id")?.parse().unwrap(),
        kind: field("event")?.to_owned(),
        data: serde_json::from_str(field("data")?).unwrap(),
    })
}

fn path(id: Uuid) -> String {
    format!("/v1/wallets/{id}/stream")
}

#[tokio::test]
async fn a_stream_sends_each_entry_as_the_history_shows_it() {
    let api = Api::start().await;
    api.history(A, 3).await;
    let mut stream = Stream::open(&api, &format!("{}?after_version=1", path(A)), None).await;
    let sent = [stream.next().await.unwrap(), stream.next().await.unwrap()];
    let history = api.get(&format!("/v1/wallets/{A}/transactions")).await.body;
    for (event, version) in sent.iter().zip([2, 3]) {
        assert_eq!((event.id, event.kind.as_str()), (version, "credit"));
        let entries = history["items"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["version"] == json!(version));
        assert_eq!(Some(&event.data), entry);
    }
}

#[tokio::test]
async fn without_a_version_only_what_comes_from_now_on_is_sent() {
    let api = Api::start().await;
    api.history(A, 3).await;
    api.history(B, 3).await;
    let mut stream = Stream::open(&api, &path(A), None).await;
    api.credits(B, 4, 4).await;
    api.credits(A, 4, 5).await;
    assert_eq!(stream.ids(2).await, [4, 5]);
    assert!(stream.is_silent().await);
}

#[tokio::test]
async fn a_stream_resumes_without_gap_or_repeat() {
    let api = Api::start().await;
    api.history(A, 120).await;
    let (mut seen, mut last, mut to) = (Vec::new(), 0, 120);
    // Disconnected again and again, even in the middle of a page and while new entries arrive.
    for count in [1, 70, 3, 49, 10] {
        let mut stream = Stream::open(&api, &path(A), Some(&last.to_string())).await;
        let (ids, ()) = tokio::join!(stream.ids(count), api.credits(A, to + 1, to + 20));
        to += 20;
        last = *ids.last().unwrap();
        seen.extend(ids);
    }
    assert_eq!(seen, (1..=133).collect::<Vec<i64>>());
    // A browser reconnects to its original URL: what it has already seen counts.
    let first = format!("{}?after_version=0", path(A));
    let mut stream = Stream::open(&api, &first, Some("200")).await;
    assert_eq!(stream.ids(20).await, (201..=220).collect::<Vec<i64>>());
}

#[tokio::test]
async fn what_is_not_there_or_malformed_is_refused() {
    let api = Api::start().await;
    api.history(A, 1).await;
    api.refuses(&path(NOWHERE), 404, "wallet_not_found").await;
    api.refuses("/v1/wallets/7/stream", 422, "validation_failed")
        .await;
    for id in ["", "x", "-1", "1.5", "9223372036854775808"] {
        let headers = [("Last-Event-ID", id)];
        api.refuses_with(&path(A), &headers, 422, "validation_failed")
            .await;
        let query = format!("{}?after_version={id}", path(A));
        api.refuses(&query, 422, "validation_failed").await;
    }
    let twice = [("Last-Event-ID", "1"), ("Last-Event-ID", "2")];
    api.refuses_with(&path(A), &twice, 422, "validation_failed").await;
    api.refuses(&format!("{}?since=1", path(A)), 422, "validation_failed")
        .await;
    let later = [("Wallex-Min-Position", "3:2")];
    api.refuses_with(&path(A), &later, 503, "position_not_reached")
        .await;
}

#[tokio::test]
async fn a_process_takes_a_bounded_number_of_streams() {
    let api = Api::start().await;
    api.history(A, 1).await;
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        streams.push(Stream::open(&api, &path(A), None).await);
    }
    api.refuses(&path(A), 503, "unavailable").await;
    drop(streams.pop());
    streams.push(Stream::open(&api, &path(A), None).await);
    api.refuses(&path(A), 503, "unavailable").await;

    // And all of them hear about it, though only a few read at a time.
    api.credits(A, 2, 2).await;
    for stream in &mut streams {
        assert_eq!(stream.ids(1).await, [2]);
    }
}

struct Wired {
    api: Api,
    redis: Accelerator,
    platform: String,
}

impl Wired {
    async fn set_up(url: &str) -> Self {
        let mut api = Api::start().await;
        let redis = accelerator(url);
        let platform = unique_name("cluster/namespace/platform");
        api.serve(api.state().with_redis(redis.clone(), &platform));
        api.history(A, 3).await;
        Self { api, redis, platform }
    }

    fn channel(&self) -> String {
        format!("wallex:{}:wallets", self.platform)
    }

    /// As the projector does after its commit.
    async fn announce(&self, message: &[u8]) -> bool {
        self.redis.publish(&self.channel(), message).await
    }

    /// Waits until the stream's process listens and its first look is over.
    async fn listening(&self, stream: &mut Stream) {
        let mut count = redis::Cmd::new();
        count.arg("PUBSUB").arg("NUMSUB").arg(self.channel());
        eventually(DEADLINE, "a listener", async || {
            let found: (String, u64) = self.redis.query(&count).await?;
            (found.1 == 1).then_some(())
        })
        .await;
        assert!(stream.is_silent().await);
    }
}

#[tokio::test]
async fn a_message_wakes_a_stream_sooner_than_a_look_would() {
    let wired = Wired::set_up(&wallex_testing::redis()).await;
    let mut stream = Stream::open(&wired.api, &path(A), None).await;
    wired.listening(&mut stream).await;
    let mut message = B.as_bytes().to_vec();
    message.extend(A.as_bytes());
    // For several wallets, for all, and one that makes no sense.
    for (version, message) in [(4, message), (5, Vec::new()), (6, b"garbage".to_vec())] {
        wired.api.credits(A, version, version).await;
        let begin = Instant::now();
        assert!(wired.announce(&message).await);
        assert_eq!(stream.ids(1).await, [version]);
        assert!(
            begin.elapsed() < Duration::from_millis(400),
            "{:?}",
            begin.elapsed()
        );
    }
}

#[tokio::test]
async fn a_message_that_is_lost_is_made_up_for() {
    let wired = Wired::set_up(&wallex_testing::redis()).await;
    let mut stream = Stream::open(&wired.api, &path(A), None).await;
    wired.listening(&mut stream).await;
    wired.api.credits(A, 4, 4).await;
    assert_eq!(stream.ids(1).await, [4]);
}

#[tokio::test]
async fn without_redis_it_still_arrives() {
    let nowhere = Door::shut();
    let wired = Wired::set_up(&nowhere.url()).await;
    let mut streams = Vec::new();
    for after in [3, 1] {
        let from = format!("{}?after_version={after}", path(A));
        streams.push(Stream::open(&wired.api, &from, None).await);
    }
    assert_eq!(streams[1].ids(2).await, [2, 3]);
    for version in [4, 5] {
        wired.api.credits(A, version, version).await;
        let begin = Instant::now();
        for stream in &mut streams {
            assert_eq!(stream.ids(1).await, [version]);
        }
        assert!(begin.elapsed() < LOOK, "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn a_redis_that_stops_and_comes_back_costs_a_stream_nothing() {
    let mut door = Door::opened();
    let wired = Wired::set_up(&door.url()).await;
    let mut stream = Stream::open(&wired.api, &path(A), None).await;
    wired.listening(&mut stream).await;
    door.close();
    wired.api.credits(A, 4, 4).await;
    assert_eq!(stream.ids(1).await, [4]);
    door.open();
    wired.api.credits(A, 5, 5).await;
    assert_eq!(stream.ids(1).await, [5]);
    eventually(DEADLINE, "Redis", async || wired.redis.alive().then_some(())).await;
    wired.listening(&mut stream).await;
    wired.api.credits(A, 6, 6).await;
    assert!(wired.announce(A.as_bytes()).await);
    assert_eq!(stream.ids(1).await, [6]);
}

#[tokio::test]
async fn a_database_that_is_away_for_a_moment_is_waited_for() {
    let api = Api::start().await;
    api.history(A, 3).await;
    let mut stream = Stream::open(&api, &path(A), None).await;
    api.execute("ALTER TABLE read_model.entry RENAME TO away").await;
    api.execute(&format!(
        "UPDATE read_model.wallet SET version = 4 WHERE wallet_id = '{A}'"
    ))
    .await;
    assert!(stream.is_silent().await);
    api.execute(&format!(
        "ALTER TABLE read_model.away RENAME TO entry;
         UPDATE read_model.wallet SET version = 3 WHERE wallet_id = '{A}'"
    ))
    .await;
    api.credits(A, 4, 4).await;
    assert_eq!(stream.ids(1).await, [4]);
}

#[tokio::test]
async fn a_stream_ends_at_shutdown_and_the_drain_does_not_wait_for_it() {
    let mut api = Api::start().await;
    api.history(A, 3).await;
    let shutdown = CancellationToken::new();
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    api.serve(api.state().with_shutdown(shutdown.clone()));
    let ending = Ending {
        grace: Duration::ZERO,
        limit: Duration::from_secs(60),
    };
    let server = tokio::spawn(serve_on(
        listener,
        api.router.clone(),
        Health::new(),
        shutdown.clone(),
        ending,
        Limits::default(),
    ));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {}?after_version=2 HTTP/1.1\r\nHost: wallex\r\n\r\n", path(A));
    client.write_all(request.as_bytes()).await.unwrap();
    let mut received = String::new();
    let mut bytes = [0; 4096];
    while !received.contains("id: 3") {
        let count = timeout(DEADLINE, client.read(&mut bytes)).await.unwrap().unwrap();
        assert!(count > 0, "{received}");
        received.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }

    shutdown.cancel();
    timeout(DEADLINE, server).await.unwrap().unwrap();
    let mut rest = String::new();
    timeout(DEADLINE, client.read_to_string(&mut rest))
        .await
        .unwrap()
        .unwrap();
    // The end of a chunked body: ended, not cut.
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    // A client that connects during the shutdown is not refused for good.
    let mut late = Stream::open(&api, &path(A), Some("0")).await;
    assert_eq!(late.next().await, None);
}

/// A client that used another platform before, or invents ids, would wait forever.
#[tokio::test]
async fn a_version_that_the_wallet_has_not_had_is_told_at_once() {
    let api = Api::start().await;
    api.history(A, 9).await;
    api.record([10, 11].map(|v| Entry::new(A, v, "credit", 10, 100)))
        .await;
    let refused = async |path: &str, headers: &[(&str, &str)]| {
        timeout(DEADLINE, api.get_with(path, headers)).await.unwrap()
    };
    let ahead = refused(&path(A), &[("Last-Event-ID", "12")]).await;
    crate::api::is_problem(&ahead, 422, "validation_failed", "a header");
    assert!(ahead.text.contains("Last-Event-ID") && ahead.text.contains("is at 11"));
    let ahead = refused(&format!("{}?after_version=1099", path(A)), &[]).await;
    crate::api::is_problem(&ahead, 422, "validation_failed", "a parameter");
    assert!(ahead.text.contains("after_version"), "{}", ahead.text);
    // The read model is behind, and will get there.
    let mut stream = Stream::open(&api, &path(A), Some("11")).await;
    api.credits(A, 12, 12).await;
    assert_eq!(stream.next().await.unwrap().id, 12);
}
