//! A migration is told what the platform has written: it refuses a database that lacks it, and changes nothing there.

use wallex_domain::PlatformId;
use wallex_journal::history::{self, History, HistoryError};
use wallex_journal::schema;
use wallex_testing::TestDatabase;

use crate::harness::*;

fn of(journal: Option<i64>, events: i64) -> History {
    History { journal, events }
}

#[tokio::test]
async fn a_database_is_refused_on_what_it_lacks() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    let mut db = journal.database.connection().await;
    let found = history::read(&mut db).await.unwrap().unwrap();
    let id = found.journal.unwrap();
    assert_eq!(found.events, 1);

    for expected in [
        of(None, 0),
        of(Some(id), 0),
        of(Some(id), 1),
        of(None, 1),
        of(Some(1), 0),
    ] {
        history::expect(&mut db, expected).await.unwrap();
    }
    let refused = history::expect(&mut db, of(Some(id), 2)).await.unwrap_err();
    assert!(
        matches!(
            refused,
            HistoryError::Shorter {
                expected: 2,
                found: 1
            }
        ),
        "{refused}"
    );
    let refused = history::expect(&mut db, of(Some(id + 1), 1)).await.unwrap_err();
    assert!(matches!(refused, HistoryError::Another { .. }), "{refused}");
}

#[tokio::test]
async fn a_database_without_a_journal_is_refused_and_stays_without() {
    let database = TestDatabase::empty().await;
    let mut db = database.connection().await;
    assert_eq!(history::read(&mut db).await.unwrap(), None);
    history::expect(&mut db, of(None, 0)).await.unwrap();
    let refused = history::expect(&mut db, of(None, 1)).await.unwrap_err();
    assert!(
        matches!(refused, HistoryError::Empty { expected: 1 }),
        "{refused}"
    );
    assert_eq!(history::read(&mut db).await.unwrap(), None);
}

#[tokio::test]
async fn a_journal_is_known_by_the_same_id_whoever_adopts_it() {
    let journal = Journal::new().await;
    let mut db = journal.database.connection().await;
    let before = history::read(&mut db).await.unwrap();
    let other = PlatformId {
        name: "other".to_owned(),
        ..platform()
    };
    schema::migrate(&mut db, &other, true).await.unwrap();
    assert_eq!(history::read(&mut db).await.unwrap(), before);
}
