//! The append in one trip: when it is taken, what it notices, and that nobody ever waits for the one who sent it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use wallex_journal::append::{Config, Path, Reply, Request, Sent, Timeouts, WhyLocked, Writer};
use wallex_testing::{DEADLINE, eventually};

use crate::harness::*;
use crate::proxy::Gate;

const COLD: Path = Path::Locked(WhyLocked::Cold);
const STALE: Path = Path::Locked(WhyLocked::Stale);
const ANSWERED: Path = Path::Locked(WhyLocked::Answered);

/// In one trip, whatever the other tests do.
fn writer(journal: &Journal) -> Writer {
    Writer::new(journal.options(), Arc::default(), RENDER, Config::default())
}

async fn append(writer: &mut Writer, requests: &[Request]) -> Vec<Reply> {
    writer.append(requests, deadline()).await
}

/// A writer that knows both wallets, and two wallets in different partitions.
async fn warm(journal: &Journal) -> (Writer, wallex_domain::WalletId, wallex_domain::WalletId) {
    let mut writer = writer(journal);
    let (a, b) = two_partitions(&mut journal.writer(), journal).await;
    append(&mut writer, &[credit("warm a", a, 1), credit("warm b", b, 1)]).await;
    writer.paths.clear();
    (writer, a, b)
}

/// A gate before the journal's server, and options that lead through it.
async fn gated(journal: &Journal) -> (Gate, PgConnectOptions) {
    let server = journal.options();
    let gate = Gate::before((server.get_host().to_owned(), server.get_port())).await;
    let options = server.host("127.0.0.1").port(gate.port);
    (gate, options)
}

#[tokio::test]
async fn what_is_remembered_is_written_in_one_trip() {
    let journal = Journal::new().await;
    let mut writer = writer(&journal);
    let (a, b) = two_partitions(&mut journal.writer(), &journal).await;
    for n in 0..4 {
        let requests = [
            credit(&format!("c{n}"), a, 5),
            transfer(&format!("t{n}"), a, b, 3),
            debit(&format!("d{n}"), b, 5_000),
            named(debit(&format!("n{n}"), b, 1), &format!("name {n}")),
            create(&format!("new {n}"), wallet(100 + n), 7),
            described(credit(&format!("x{n}"), b, 1), "a text"),
        ];
        let seen: Vec<_> = append(&mut writer, &requests).await.iter().map(status).collect();
        assert_eq!(seen, [DONE, DONE, REJECTED, DONE, DONE, DONE]);
    }
    // The first batch sees the clock and the open partitions.
    assert_eq!(writer.paths, [COLD, Path::OneTrip, Path::OneTrip, Path::OneTrip]);
    assert_eq!(
        (journal.balance(a).await, journal.balance(b).await),
        (1_008, 1_012)
    );
    assert_eq!(writer.conflicts, []);
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_wallet_that_is_not_remembered_is_read_first_and_written_in_one_trip() {
    let journal = Journal::new().await;
    let (mut writer, a, _) = warm(&journal).await;
    // Unknown to this writer; one of them has lived on in the meantime.
    let mut other = self::writer(&journal);
    append(&mut other, &[credit("meantime", wallet(20), 1)]).await;
    let requests = [
        credit("k1", wallet(20), 1),
        transfer("k2", wallet(19), wallet(18), 4),
    ];
    for reply in append(&mut writer, &requests).await {
        assert_eq!(status(&reply), DONE);
    }
    assert_eq!(writer.paths, [Path::OneTrip]);
    assert_eq!(journal.balance(wallet(20)).await, 1_002);
    // What nobody has created is not there, and costs the others nothing.
    let replies = append(&mut writer, &[credit("k3", wallet(999), 1), credit("k4", a, 1)]).await;
    assert!(matches!(replies[0], Reply::NotFound(_)), "{replies:?}");
    assert_eq!(
        (status(&replies[1]), &writer.paths[1..]),
        (DONE, &[Path::OneTrip][..])
    );
    journal.assert_whole().await;
}

/// A repeated create reads the wallet without looking where it lives.
#[tokio::test]
async fn a_wallet_is_found_that_was_only_seen_behind_a_repeated_create() {
    let journal = Journal::new().await;
    let (mut writer, ..) = warm(&journal).await;
    let fresh = wallet(500);
    append(&mut self::writer(&journal), &[create("new", fresh, 5)]).await;
    let replies = append(
        &mut writer,
        &[create("new", fresh, 5), create("another", wallet(501), 1)],
    )
    .await;
    assert_eq!((status(&replies[0]), status(&replies[1])), ((201, true), DONE));
    assert_eq!(
        status(&append(&mut writer, &[credit("k", fresh, 1)]).await[0]),
        DONE
    );
}

/// A create that is taken back writes nothing that would collide with the wallet that exists.
#[tokio::test]
async fn a_create_that_is_taken_back_does_not_hide_that_the_wallet_exists() {
    let journal = Journal::new().await;
    let (mut writer, a, _) = warm(&journal).await;
    append(&mut self::writer(&journal), &[create("there", wallet(500), 5)]).await;
    let item = |request: &mut Request| item_of(request).command.clone();
    let commands = [
        item(&mut create("", wallet(500), 5)),
        item(&mut debit("", a, 1_000_000)),
    ];
    let reply = append(&mut writer, &[batch("b", true, commands)]).await.remove(0);
    assert_eq!(
        body(&reply),
        "{\"index\":0}",
        "the wallet exists; the funds do not matter"
    );
}

#[tokio::test]
async fn what_somebody_else_wrote_is_noticed_and_nothing_is_lost() {
    let journal = Journal::new().await;
    let (mut one, a, b) = warm(&journal).await;
    let mut two = writer(&journal);
    for n in 0..3 {
        for (name, writer) in [("one", &mut one), ("two", &mut two)] {
            let replies = append(writer, &[transfer(&format!("{name} {n}"), a, b, 1)]).await;
            assert_eq!(status(&replies[0]), DONE);
        }
    }
    assert_eq!(one.paths, [Path::OneTrip, STALE, STALE]);
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (995, 1_007));
    // Alone again: the first batch under locks finds nobody else's event, and the next one is sent.
    one.paths.clear();
    for n in 0..3 {
        let replies = append(&mut one, &[debit(&format!("alone {n}"), a, 1)]).await;
        assert_eq!(status(&replies[0]), DONE);
    }
    assert_eq!(one.paths, [STALE, STALE, Path::OneTrip]);
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer_and_the_others_of_its_batch_are_done_once() {
    let journal = Journal::new().await;
    let (mut writer, a, b) = warm(&journal).await;
    let first = append(&mut writer, &[credit("k", a, 5), named(debit("n", b, 5), "name")]).await;
    let repeated = [
        credit("k", a, 5),
        credit("new", a, 1),
        named(debit("other", b, 5), "name"),
    ];
    let replies = append(&mut writer, &repeated).await;
    assert_eq!(
        (body(&replies[0]), body(&replies[2])),
        (body(&first[0]), body(&first[1]))
    );
    assert_eq!(status(&replies[1]), DONE);
    assert_eq!(
        append(&mut writer, &[credit("k", a, 6)]).await,
        [Reply::KeyReused]
    );
    assert_eq!(
        writer.paths,
        [Path::OneTrip, ANSWERED],
        "a key that is reused writes nothing"
    );
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (1_007, 996));
    journal.assert_whole().await;
}

/// A rejection writes no name, so no key of a table would notice: the name itself is looked for.
#[tokio::test]
async fn a_named_movement_that_was_made_is_never_rejected_from_memory() {
    let journal = Journal::new().await;
    let (mut writer, a, _) = warm(&journal).await;
    let movement = |key: &str| named(debit(key, a, 1_000), "rent");
    let first = append(&mut writer, &[movement("k1")]).await;
    let again = append(&mut writer, &[movement("k2")]).await;
    assert_eq!(
        body(&again[0]),
        body(&first[0]),
        "it has no funds left, and needs none"
    );
}

/// SIGSTOP, a full buffer, a lost packet: the server has a part of the message, up to any byte. Whoever comes then is
/// done at once, and the message means the same when its rest arrives.
#[tokio::test]
async fn a_sender_that_stops_between_any_two_bytes_holds_nobody_up() {
    let journal = Journal::new().await;
    let (_, a, b) = warm(&journal).await;
    let (gate, options) = gated(&journal).await;
    let mut slow = Writer::new(options, Arc::default(), RENDER, Config::default());
    let mut sent = 0;
    for n in 10..13 {
        let before = gate.passed();
        append(&mut slow, &[transfer(&format!("slow {n}"), a, b, 1)]).await;
        sent = gate.passed() - before;
    }
    assert_eq!(slow.paths.last(), Some(&Path::OneTrip));
    let mut other = writer(&journal);
    append(&mut other, &[credit("other", a, 1)]).await;
    let mut balance = journal.balance(a).await;

    // Sync is the last five bytes, Close the seven before it, and Execute comes before that.
    let rests = [sent - 1, sent / 2, sent / 3, 30, 20, 13, 12, 6, 5, 4, 1];
    for (n, rest) in (20..).zip(rests) {
        // Knows what the other one wrote, and that it is alone again.
        for near in ["near", "nearer"] {
            append(&mut slow, &[transfer(&format!("{near} {n}"), a, b, 1)]).await;
        }
        gate.hold_back(rest);
        let writing = tokio::spawn(async move {
            let replies = append(&mut slow, &[transfer(&format!("slow {n}"), a, b, 1)]).await;
            (slow, replies)
        });
        eventually(DEADLINE, "the message's first bytes", async || {
            gate.is_closed().then_some(())
        })
        .await;
        let began = Instant::now();
        let replies = append(&mut other, &[credit(&format!("other {n}"), a, 10)]).await;
        assert_eq!(status(&replies[0]), DONE);
        let waited = began.elapsed();
        assert!(
            waited < Duration::from_secs(1),
            "others waited {waited:?} for {rest} of {sent} bytes"
        );
        gate.open();
        let (writer, replies) = writing.await.unwrap();
        slow = writer;
        assert_eq!(status(&replies[0]), DONE, "without {rest} of {sent} bytes");
        // From Execute on it is done, and was before the other one.
        let path = if rest <= 12 { Path::OneTrip } else { STALE };
        assert_eq!(slow.paths.last(), Some(&path), "without {rest} of {sent} bytes");
        balance += 10 - 3;
        assert_eq!(
            journal.balance(a).await,
            balance,
            "without {rest} of {sent} bytes"
        );
    }
    journal.assert_whole().await;
}

/// The next batch is decided on what the one before it will leave, while that is still on its way.
#[tokio::test]
async fn a_batch_is_decided_on_one_that_is_still_on_its_way() {
    let journal = Journal::new().await;
    let (mut writer, a, b) = warm(&journal).await;
    let mut flying = Vec::new();
    for n in 0..3 {
        let requests = [
            transfer(&format!("t{n}"), a, b, 400),
            credit(&format!("c{n}"), b, 1),
        ];
        flying.push(start(&mut writer, requests.to_vec()).await);
    }
    let mut seen = Vec::new();
    for batch in flying {
        seen.extend(end(&mut writer, batch).await.iter().map(status));
    }
    // The third finds what the first two leave: 1,001 - 800 are not enough.
    assert_eq!(seen, [DONE, DONE, DONE, DONE, REJECTED, DONE]);
    assert_eq!(writer.paths, [Path::OneTrip; 3]);
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (201, 1_804));
    journal.assert_whole().await;
}

/// The two come by different connections, so the second may be there first. It makes room for the one before it.
#[tokio::test]
async fn a_batch_that_overtakes_the_one_before_it_is_written_after_it_and_not_refused() {
    let journal = Journal::new().await;
    let (_, a, _) = warm(&journal).await;
    let (gate, options) = gated(&journal).await;
    let config = Config {
        timeouts: Timeouts {
            beside: DEADLINE,
            ..Timeouts::default()
        },
        ..Config::default()
    };
    let mut writer = Writer::new(options, Arc::default(), RENDER, config);
    append(&mut writer, &[credit("cold", a, 1)]).await;
    // Both connections are open afterwards.
    let pair = [
        start(&mut writer, vec![credit("one", a, 1)]).await,
        start(&mut writer, vec![credit("two", a, 1)]).await,
    ];
    for batch in pair {
        end(&mut writer, batch).await;
    }
    writer.paths.clear();

    // Somebody holds the partition; the second batch queues for it, and the first one behind that.
    let mut holder = journal.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM journal.partition FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    gate.hold_next();
    let first = start(&mut writer, vec![credit("first", a, 1_000)]).await;
    eventually(DEADLINE, "the first is held back", async || {
        gate.holds_one().then_some(())
    })
    .await;
    let second = start(&mut writer, vec![debit("second", a, 1_900)]).await;
    journal.appends_wait(1).await;
    gate.open();
    journal.appends_wait(2).await;
    holder.rollback().await.unwrap();
    for batch in [first, second] {
        let replies = end(&mut writer, batch).await;
        assert_eq!(status(&replies[0]), DONE, "{replies:?}");
    }
    assert_eq!(writer.paths, [Path::OneTrip; 2]);
    assert_eq!(journal.balance(a).await, 104);
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_batch_that_fails_takes_along_what_was_decided_on_it() {
    let journal = Journal::new().await;
    let (mut writer, a, b) = warm(&journal).await;
    append(&mut writer, &[credit("k", a, 1)]).await;
    writer.paths.clear();
    // The first repeats a key, which only the database knows; the second spends what the first brings.
    let first = start(&mut writer, vec![credit("k", a, 1), credit("gift", a, 5_000)]).await;
    let second = start(
        &mut writer,
        vec![debit("spend", a, 6_000), transfer("t", b, a, 1)],
    )
    .await;
    let seen: Vec<_> = end(&mut writer, first).await.iter().map(status).collect();
    assert_eq!(seen, [(201, true), DONE]);
    let seen: Vec<_> = end(&mut writer, second).await.iter().map(status).collect();
    assert_eq!(seen, [DONE, DONE]);
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (3, 1_000));
    // It recovers.
    for n in 0..3 {
        append(&mut writer, &[credit(&format!("then {n}"), a, 1)]).await;
    }
    assert_eq!(writer.paths.last(), Some(&Path::OneTrip));
    journal.assert_whole().await;
}

/// The answer to the first is lost, whether or not it was written, while the second is on its way.
#[tokio::test]
async fn what_was_decided_on_a_batch_whose_outcome_is_unknown_is_done_once() {
    let journal = Journal::new().await;
    let (mut writer, a, _) = warm(&journal).await;
    for n in 0..4 {
        let first = start(&mut writer, vec![credit(&format!("first {n}"), a, 1_000)]).await;
        let second = start(&mut writer, vec![debit(&format!("second {n}"), a, 1_900)]).await;
        journal
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'CALL%'",
            )
            .await;
        for batch in [first, second] {
            let replies = end(&mut writer, batch).await;
            assert_eq!(status(&replies[0]).0, 201, "{replies:?}");
        }
        let back = append(&mut writer, &[credit(&format!("back {n}"), a, 900)]).await;
        assert_eq!(status(&back[0]), DONE);
    }
    assert_eq!(journal.balance(a).await, 1_001);
    journal.assert_whole().await;
}

struct Flying {
    requests: Vec<Request>,
    sent: Result<Sent, WhyLocked>,
}

async fn start(writer: &mut Writer, requests: Vec<Request>) -> Flying {
    let sent = writer.send(&requests, &vec![deadline(); requests.len()]).await;
    Flying { requests, sent }
}

/// Every reply, in order.
async fn end(writer: &mut Writer, flying: Flying) -> Vec<Reply> {
    let Flying { requests, sent } = flying;
    let mut replies = vec![None; requests.len()];
    let mut take = |index: usize, reply: Reply, _| replies[index] = Some(reply);
    let deadlines = vec![deadline(); requests.len()];
    let later = writer.land(sent, &requests, &deadlines, &mut take).await;
    assert_eq!(later, [] as [usize; 0]);
    replies.into_iter().map(Option::unwrap).collect()
}
